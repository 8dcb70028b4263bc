"""Ridge regression on the diabetes data over a range of alphas.

An ordinary training script: it knows nothing of runlog, logs with Python's own
logging at DEBUG (to stderr), and prints its metrics (to stdout).
"""

import argparse
import logging
import platform
import time

import numpy as np
import sklearn
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split

log = logging.getLogger("train")


def load():
    features, target = load_diabetes(return_X_y=True)
    log.debug("data: features %s, target %s, target from %.0f to %.0f",
              features.shape, target.shape, target.min(), target.max())
    parts = train_test_split(features, target, test_size=0.2, random_state=0)
    train_x, test_x, train_y, test_y = parts
    log.debug("split: train %s, test %s, train mean %.2f, test mean %.2f",
              train_x.shape, test_x.shape, train_y.mean(), test_y.mean())
    log.info("%d rows to train on, %d to test with", len(train_x), len(test_x))
    return parts


def fit(alpha, train_x, test_x, train_y, test_y):
    if alpha == 0:
        log.warning("alpha 0 is plain least squares: nothing is shrunk, and the condition number is %.1f",
                    np.linalg.cond(train_x))
    started = time.perf_counter()
    model = Ridge(alpha=alpha).fit(train_x, train_y)
    log.debug("alpha %.2f: fitted in %.2f ms, solver %s",
              alpha, (time.perf_counter() - started) * 1000, model.solver_)
    log.debug("alpha %.2f: intercept %.3f, norm of the coefficients %.2f", alpha, model.intercept_,
              np.linalg.norm(model.coef_))
    log.debug("alpha %.2f: coefficients %s", alpha, " ".join(f"{c:.2f}" for c in model.coef_))

    started = time.perf_counter()
    mse = mean_squared_error(test_y, model.predict(test_x))
    log.debug("alpha %.2f: tested in %.2f ms", alpha, (time.perf_counter() - started) * 1000)
    log.info("alpha %.2f: mse %.2f", alpha, mse)
    print(f"alpha is {alpha:.2f}, and mse is {mse:.2f}", flush=True)
    return mse


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--sleep", type=float, default=0.0, metavar="SECONDS",
                           help="wait so long after each alpha, to be watched live")
    sleep_seconds = arguments.parse_args().sleep
    logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

    started = time.perf_counter()
    log.info("ridge regression on the diabetes data")
    log.debug("python %s, scikit-learn %s, numpy %s", platform.python_version(), sklearn.__version__, np.__version__)
    parts = load()
    results = []
    for alpha in np.arange(0.0, 1.0, 0.05):
        results.append((fit(alpha, *parts), alpha))
        time.sleep(sleep_seconds)

    mse, alpha = min(results)
    log.debug("%d models in %.2f s", len(results), time.perf_counter() - started)
    log.info("best alpha %.2f: mse %.2f", alpha, mse)
    print(f"best: alpha is {alpha:.2f}, and mse is {mse:.2f}", flush=True)


if __name__ == "__main__":
    main()
