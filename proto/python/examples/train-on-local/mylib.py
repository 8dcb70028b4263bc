"""What `train.py` tries."""

import numpy as np


def get_alphas():
    """Give the strengths of the regularisation: from 0 to 0.95."""
    return np.arange(0.0, 1.0, 0.05)
