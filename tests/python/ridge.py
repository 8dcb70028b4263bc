"""Fits a ridge regression to the diabetes data: ridge.py --alpha ALPHA. The run is that of the environment."""

import argparse

from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split

from runlog import Run

parser = argparse.ArgumentParser()
parser.add_argument("--alpha", type=float, required=True)
alpha = parser.parse_args().alpha
run = Run.get_context(allow_offline=False)
features, target = load_diabetes(return_X_y=True)
fitted_to, tested_on, known, wanted = train_test_split(features, target, test_size=0.2, random_state=0)
mse = mean_squared_error(wanted, Ridge(alpha=alpha).fit(fitted_to, known).predict(tested_on))
run.log("mse", mse, step=1)
print(f"alpha is {alpha:.2f}, and mse is {mse:.2f}")
