"""Runs tools that print what they do by themselves: `tools.py TOOL`; without a tool, lists them.

Their lines have the level that the tool's documents give the word in its place (`LEVELS_OF`); other lines have none.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

# Of the longer outputs so many lines that differ.
MOST_SHAPES = 14

# tool -> (part, how its lines state a level, the level by the word)
LEVELS_OF = {
    "xgboost": ("known", r"^\[\d\d:\d\d:\d\d\] (\w+): ", {"DEBUG": "debug", "INFO": "info", "WARNING": "warn"}),
    "lightgbm": ("known", r"^\[LightGBM\] \[(\w+)\] ", {"Debug": "debug", "Info": "info", "Warning": "warn", "Fatal": "fatal"}),
    "sklearn": ("known", r"^(?!)", {}),
    "catboost": ("held-out", r"^(?!)", {}),
    "tensorflow": (
        "held-out",
        r"^(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: )?([IWEF](?= tensorflow/|\d{4} )|WARNING(?=:))",
        {"I": "info", "W": "warn", "E": "error", "F": "fatal", "WARNING": "warn"},
    ),
    "ray": (
        "held-out",
        r"^(?:\x1b\[\d+m)*(?:\([^)]*pid=\d+\)(?:\x1b\[0m)? )?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+\s(\w+)\s",
        {"INFO": "info", "WARNING": "warn", "ERROR": "error"},
    ),
    "go": ("held-out", r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (\w+) ", {"INFO": "info", "WARN": "warn", "ERROR": "error"}),
    "matplotlib": ("held-out", r"^(\w+):matplotlib", {"DEBUG": "debug", "INFO": "info"}),
    "sqlalchemy": ("held-out", r"^[\d-]+ [\d:,]+ (\w+) ", {"INFO": "info", "DEBUG": "debug"}),
    "java": ("held-out", r"^([A-Z]+): ", {"INFO": "info", "WARNING": "warn", "SEVERE": "error"}),
    "keras": ("held-out", r"^(WARNING): |^([IWE])\d{4} ", {"WARNING": "warn", "I": "info", "W": "warn", "E": "error"}),
    "unittest": ("held-out", r"^(?!)", {}),
    "pip": ("held-out", r"^(\w+): ", {"WARNING": "warn", "ERROR": "error", "DEPRECATION": "warn"}),
    "luigi": ("held-out", r"^(\w+): ", {"DEBUG": "debug", "INFO": "info", "WARNING": "warn", "ERROR": "error"}),
    "supervisor": (
        "known",
        r"^[\d-]+ [\d:,]+ (\w{4}) ",
        {"CRIT": "fatal", "ERRO": "error", "WARN": "warn", "INFO": "info", "DEBG": "debug", "TRAC": "trace"},
    ),
    "sphinx": ("held-out", r": (WARNING|ERROR): ", {"WARNING": "warn", "ERROR": "error"}),
    "mkdocs": ("held-out", r"^(\w+) +-  ", {"DEBUG": "debug", "INFO": "info", "WARNING": "warn", "ERROR": "error"}),
    "twisted": ("held-out", r"#(\w+)\] ", {"info": "info", "warn": "warn", "error": "error"}),
    "cherrypy": ("held-out", r"^(?!)", {}),
    "huey": ("held-out", r"^\[[\d :,-]+\] (\w+):", {"DEBUG": "debug", "INFO": "info", "ERROR": "error"}),
    "celery": (
        "held-out",
        r"^\[[\d :,-]+: (\w+)/MainProcess\] ",
        {"DEBUG": "debug", "INFO": "info", "WARNING": "warn", "ERROR": "error", "CRITICAL": "fatal"},
    ),
    "gensim": ("held-out", r"^[\d-]+ [\d:,]+ : (\w+) : ", {"INFO": "info", "WARNING": "warn"}),
    "gcc": ("held-out", r"^\S+:\d+:\d+: (\w+): ", {"warning": "warn", "error": "error", "note": "info"}),
}


def level(tool: str, line: str) -> str:
    if re.match(r"^\S+\.py:\d+: \w+Warning: ", line):
        return "warn"
    if line == "Traceback (most recent call last):":
        return "error"
    _, pattern, levels = LEVELS_OF[tool]
    found = re.search(pattern, line)
    return levels.get(found.group(found.lastindex or 0), "none") if found else "none"


def numbers() -> tuple[list[list[float]], list[int]]:
    rows = [[(7 * n % 13) / 13, (5 * n % 11) / 11] for n in range(200)]
    return rows, [int(a > b) for a, b in rows]


def xgboost() -> None:
    import numpy as np
    import xgboost as lib

    x, y = (np.array(part) for part in numbers())
    lib.set_config(verbosity=2)
    rounds = {"objective": "binary:logistic", "eval_metric": "logloss", "nothing": 1}
    lib.train(rounds, lib.DMatrix(x, y), 5, evals=[(lib.DMatrix(x, y), "train")])


def lightgbm() -> None:
    import lightgbm as lib
    import numpy as np

    x, y = (np.array(part) for part in numbers())
    lib.LGBMClassifier(n_estimators=3, verbose=2, min_child_samples=90).fit(x, y)
    lib.train({"verbose": 1, "num_leaves": 9999, "nothing": 1}, lib.Dataset(x, y), 3)


def sklearn() -> None:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.neural_network import MLPClassifier

    x, y = numbers()
    MLPClassifier(max_iter=6, verbose=True).fit(x, y)
    GridSearchCV(LogisticRegression(max_iter=1), {"C": [0.1, 1]}, verbose=3, cv=2).fit(x, y)
    RandomForestClassifier(n_estimators=4, verbose=2).fit(x, y)


def catboost() -> None:
    import catboost as lib

    lib.CatBoostClassifier(iterations=8, allow_writing_files=False).fit(*numbers())


def tensorflow() -> None:
    import tensorflow as lib

    print(lib.constant([1.0]) * 2)
    lib.get_logger().warning("AutoGraph could not transform it")


def ray() -> None:
    import ray as lib

    @lib.remote
    def train_fn(n: int) -> int:
        import logging

        print(f"epoch {n} loss 0.3")
        logging.basicConfig(format="%(asctime)s\t%(levelname)s %(filename)s:%(lineno)s -- %(message)s")
        logging.warning("slow node")
        logging.error("lost a peer")
        return n

    lib.init(num_cpus=2, include_dashboard=False)
    lib.get([train_fn.remote(n) for n in range(3)])
    # What the workers print comes by way of files, which are looked at now and then.
    time.sleep(3)
    lib.shutdown()


def matplotlib() -> None:
    import logging

    # It says other things while it looks for fonts, which it does once.
    subprocess.run([sys.executable, "-c", "import matplotlib.font_manager"], capture_output=True, check=True)
    logging.basicConfig(level=logging.DEBUG)
    import matplotlib as lib

    lib.use("agg")
    import matplotlib.pyplot as plot

    plot.plot([1, 2])
    plot.title("loss")
    plot.savefig("/dev/null", format="png")


def sqlalchemy() -> None:
    import sqlalchemy as lib

    with lib.create_engine("sqlite://", echo="debug").connect() as connection:
        connection.execute(lib.text("create table runs (id integer, loss real)"))
        connection.execute(lib.text("insert into runs values (1, 0.5)"))
        print(connection.execute(lib.text("select * from runs")).fetchall())


def java() -> None:
    subprocess.run(["java", "Logs.java"], check=False)


def keras() -> None:
    import keras as lib
    import numpy as np

    x, y = (np.array(part) for part in numbers())
    model = lib.Sequential([lib.layers.Input((2,)), lib.layers.Dense(3), lib.layers.Dense(1)])
    model.summary()
    model.compile(loss="mse")
    model.fit(x, y, epochs=3, verbose=2)


def unittest() -> None:
    subprocess.run([sys.executable, "-m", "unittest", "-v", "test.test_bisect"], check=False)


def go() -> None:
    subprocess.run(["go", "run", "slog.go"], check=False)


def pip() -> None:
    subprocess.run([sys.executable, "-m", "pip", "download", "--no-index", "no-such-package", "-d", "/nowhere"], check=False)
    subprocess.run([sys.executable, "-m", "pip", "uninstall", "-y", "no-such-package"], check=False)


def say_for(seconds: float, *command: str, **files: str) -> None:
    """Runs a program of this environment in a folder with these files, where it prints what it does until it is ended."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            (Path(folder) / name.replace("__", ".")).write_text(text)
        program, *arguments = command
        with subprocess.Popen(
            [str(Path(sys.executable).parent / program), *arguments], cwd=folder,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
        ) as process:
            threading.Timer(seconds, process.terminate).start()
            said, _ = process.communicate()
        seen: list[str] = []
        # Of lines that only differ in a number one is enough.
        for line in said.replace(folder, "/train").splitlines():
            shape = re.sub(r"[\d.]+", "0", line)
            if shape not in seen:
                seen.append(shape)
                print(line)
            if len(seen) == MOST_SHAPES:
                return


def luigi() -> None:
    code = (
        "import luigi\nclass A(luigi.Task):\n    def run(self): print('hello')\n"
        "class B(luigi.Task):\n    def requires(self): return [A()]\n"
    )
    say_for(20, "python", "-m", "luigi", "--module", "tasks", "B", "--local-scheduler", tasks__py=code)


def supervisor() -> None:
    config = (
        "[supervisord]\nnodaemon=true\nlogfile=/dev/null\npidfile=pid\nloglevel=debug\n[program:one]\n"
        "command=/bin/false\nstartsecs=0\nautorestart=false\n[program:two]\ncommand=/bin/nothing\n"
    )
    say_for(6, "supervisord", "-c", "s.conf", s__conf=config)


def sphinx() -> None:
    index = "x\n=\n\n.. toctree::\n\n   nothing\n\n:ref:`no`\n\n.. nothing::\n"
    say_for(60, "sphinx-build", ".", "out", conf__py="project = 'x'\n", index__rst=index, orphan__rst="y\n")


def mkdocs() -> None:
    config = "site_name: x\ndocs_dir: docs\nnothing: 1\nnav: [no.md]\n"
    say_for(30, "mkdocs", "-v", "build", mkdocs__yml=config)


def twisted() -> None:
    say_for(4, "twistd", "-n", "web", "--listen", "tcp:0:interface=127.0.0.1", "--path", ".")


def cherrypy() -> None:
    say_for(4, "cherryd", "-c", "c.conf", c__conf="[global]\nserver.socket_port = 18472\n")


def huey() -> None:
    code = (
        "from huey import SqliteHuey\nhuey = SqliteHuey(filename='q.db')\n@huey.task()\ndef t(n):\n"
        "    if n: raise ValueError('bad')\n    print('hello')\nif __name__ != '__main__':\n    t(0); t(1)\n"
    )
    say_for(5, "huey_consumer", "tasks.huey", "-v", tasks__py=code)


def celery() -> None:
    code = "from celery import Celery\napp = Celery('x', broker='memory://')\n"
    say_for(6, "celery", "-A", "tasks", "worker", "-l", "DEBUG", "-P", "solo", tasks__py=code)


def gensim() -> None:
    import logging

    logging.basicConfig(format="%(asctime)s : %(levelname)s : %(message)s", level=logging.INFO)
    from gensim.models import Word2Vec

    Word2Vec([["a", "b", "c"] * 20] * 20, min_count=1, epochs=1, vector_size=4)


def gcc() -> None:
    program = "int main(void) { int n; char *p = 3; return m; }"
    subprocess.run(["gcc", "-Wall", "-xc", "-fsyntax-only", "-"], input=program, text=True, check=False)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print("\n".join(f"{part} {tool}" for tool, (part, _, _) in LEVELS_OF.items()))
    else:
        warnings.simplefilter("always")
        globals()[sys.argv[1]]()
