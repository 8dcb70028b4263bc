"""Fits a ridge regression to the diabetes data, once for each alpha."""

import os

import joblib
import mylib
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split

from runlog.core.run import Run

run = Run.get_context()
os.makedirs("outputs", exist_ok=True)
features, target = load_diabetes(return_X_y=True)
fitted_to, tested_on, known, wanted = train_test_split(features, target, test_size=0.2, random_state=0)

for alpha in mylib.get_alphas():
    model = Ridge(alpha=alpha).fit(fitted_to, known)
    mse = mean_squared_error(wanted, model.predict(tested_on))
    run.log("alpha", alpha)
    run.log("mse", mse)
    # What lies in this folder is kept when the script has ended.
    joblib.dump(model, os.path.join("outputs", f"ridge_{alpha:.2f}.pkl"))
    print(f"alpha is {alpha:.2f}, and mse is {mse:.2f}")
