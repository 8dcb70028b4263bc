"""Logs as Python programs do: `logging_styles.py STYLE`; without a style, lists them."""

from __future__ import annotations

import logging
import logging.config
import sys

from say import messages

LEVELS = ("debug", "info", "warn", "error", "fatal")
NUMBERS = {"trace": 5, "debug": 10, "info": 20, "warn": 30, "error": 40, "fatal": 50}

# Formats of logging.Formatter, by who has them. Rules are written from these lines.
FORMATS = {
    "basic": (logging.BASIC_FORMAT, None),
    "dashes": ("%(asctime)s - %(name)s - %(levelname)s - %(message)s", None),
    "spaces": ("%(asctime)s %(levelname)s %(name)s: %(message)s", None),
    "level-message": ("%(levelname)s: %(message)s", None),
    "bars": ("%(asctime)s | %(levelname)-8s | %(name)s | %(message)s", None),
    "deepspeed": ("[%(asctime)s] [%(levelname)s] [%(filename)s:%(lineno)d:%(funcName)s] %(message)s", None),
    "transformers": ("[%(levelname)s|%(filename)s:%(lineno)s] %(asctime)s >> %(message)s", None),
    "examples": ("%(asctime)s - %(levelname)s - %(name)s -   %(message)s", "%m/%d/%Y %H:%M:%S"),
    "hydra": ("[%(asctime)s][%(name)s][%(levelname)s] - %(message)s", None),
    "process": ("%(asctime)s %(process)d %(threadName)s %(levelname)s %(message)s", None),
    "mlflow": ("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y/%m/%d %H:%M:%S"),
    "vllm": ("%(levelname)s %(asctime)s [%(filename)s:%(lineno)d] %(message)s", "%m-%d %H:%M:%S"),
    "first": ("%(levelname)s %(asctime)s %(message)s", None),
    "iso": ("%(asctime)s.%(msecs)03dZ %(levelname)s [%(module)s] %(message)s", "%Y-%m-%dT%H:%M:%S"),
    "airflow": ("[%(asctime)s] {%(filename)s:%(lineno)d} %(levelname)s - %(message)s", "%Y-%m-%dT%H:%M:%S+0000"),
    "celery": ("[%(asctime)s: %(levelname)s/%(processName)s] %(message)s", None),
    "dask": ("%(asctime)s - %(name)s - %(levelname)s - %(message)s", None),
    "django": ("%(levelname)s %(asctime)s %(module)s %(process)d %(thread)d %(message)s", None),
    "espnet": ("%(asctime)s (%(module)s:%(lineno)d) %(levelname)s: %(message)s", None),
    "fairseq": ("%(asctime)s | %(levelname)s | %(name)s | %(message)s", "%Y-%m-%d %H:%M:%S"),
    "flower": ("%(levelname)s %(name)s %(asctime)s | %(filename)s:%(lineno)d | %(message)s", None),
    "gunicorn": ("%(asctime)s [%(process)d] [%(levelname)s] %(message)s", "[%Y-%m-%d %H:%M:%S +0000]"),
    "megatron-energon": ("%(asctime)s [%(levelname)-7s] %(name)s:%(lineno)d %(message)s", "%H:%M:%S"),
    "mmengine": ("%(asctime)s - %(name)s - %(levelname)s - %(message)s", "%m/%d %H:%M:%S"),
    "prefect": ("%(asctime)s.%(msecs)03d | %(levelname)-7s | %(name)s - %(message)s", "%H:%M:%S"),
    "ray": ("%(asctime)s\t%(levelname)s %(filename)s:%(lineno)s -- %(message)s", None),
    "sagemaker": ("%(asctime)s %(name)s %(levelname)-8s %(message)s", None),
    "scrapy": ("%(asctime)s [%(name)s] %(levelname)s: %(message)s", "%Y-%m-%d %H:%M:%S"),
    "thread": ("%(asctime)s [%(threadName)-12.12s] [%(levelname)-5.5s]  %(message)s", None),
    "timm": ("%(name)s: %(asctime)s %(levelname)s %(filename)s: %(lineno)d: %(message)s", "%Y-%m-%d %H:%M:%S"),
    "torchtune": ("%(levelname)s:%(name)s:%(message)s", None),
    "titan": ("[titan] %(asctime)s - %(name)s - %(levelname)s - %(message)s", "%Y-%m-%d %H:%M:%S,%f"),
    "uvicorn": ("%(levelname)s:     %(message)s", None),
    "verbose": ("%(asctime)s,%(msecs)d %(name)s %(levelname)s in %(funcName)s: %(message)s", "%H:%M:%S"),
    "wandb": ("%(asctime)s %(levelname)-7s %(threadName)-10s:%(process)d [%(filename)s:%(funcName)s():%(lineno)s] "
              "%(message)s", None),
    "year-less": ("%(asctime)s %(levelname)s %(message)s", "%b %d %H:%M:%S"),
    "am-pm": ("%(asctime)s:%(levelname)s:%(message)s", "%d-%b-%y %I:%M:%S %p"),
    "braces": ("{%(asctime)s} {%(levelname)s} %(message)s", None),
    "number": ("%(asctime)s <%(levelname)s> %(name)s(%(process)d) %(message)s", None),
}


def log_all(logger: logging.Logger, levels: tuple[str, ...] = LEVELS, each: int = 3) -> None:
    for level, text in messages(levels, each):
        logger.log(NUMBERS[level], text)


def formatted(form: str, date: str | None) -> None:
    config = {
        "version": 1,
        "formatters": {"usual": {"format": form, "datefmt": date}},
        "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "usual"}},
        "root": {"level": "DEBUG", "handlers": ["out"]},
    }
    logging.config.dictConfig(config)
    log_all(logging.getLogger("train.loop"))


def custom() -> None:
    """Levels of one's own, named and not."""
    logging.basicConfig(level=1, format=logging.BASIC_FORMAT)
    for number, level in ((5, "trace"), (15, "debug"), (25, "info"), (35, "warn"), (45, "error")):
        for _, text in messages((level,)):
            logging.getLogger("train").log(number, text)
    for number, name, level in ((5, "TRACE", "trace"), (25, "NOTICE", "info"), (15, "VERBOSE", "debug")):
        logging.addLevelName(number, name)
        for _, text in messages((level,)):
            logging.getLogger("train").log(number, text)


def unconfigured() -> None:
    """The handler of last resort shows no level."""
    for _, text in messages(("none",), 6):
        logging.getLogger("x").error(text)


def rich() -> None:
    from rich.logging import RichHandler

    logging.basicConfig(level=10, format="%(message)s", handlers=[RichHandler(show_path=True)])
    log_all(logging.getLogger("train"))


def loguru() -> None:
    from loguru import logger

    logger.remove()
    logger.add(sys.stderr, level="TRACE", colorize=False)
    names = {"trace": "TRACE", "debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR", "fatal": "CRITICAL"}
    for level, text in messages(tuple(names)):
        logger.log(names[level], text)
    for _, text in messages(("info",)):
        logger.success(text)
    logger.remove()
    logger.add(sys.stderr, level="TRACE", colorize=True)
    for level, text in messages(tuple(names)):
        logger.log(names[level], text)


def structlog(renderer: str) -> None:
    import structlog as lib

    last = {
        "console": lib.dev.ConsoleRenderer(colors=False),
        "colours": lib.dev.ConsoleRenderer(colors=True),
        "json": lib.processors.JSONRenderer(),
        "logfmt": lib.processors.LogfmtRenderer(),
    }[renderer]
    before = [lib.processors.add_log_level, lib.processors.TimeStamper(fmt="iso"), last]
    lib.configure(processors=before, wrapper_class=lib.make_filtering_bound_logger(0))
    names = {"debug": "debug", "info": "info", "warn": "warning", "error": "error", "fatal": "critical"}
    for level, text in messages(tuple(names)):
        getattr(lib.get_logger(), names[level])(text, rank=3, loss=0.5)


def absl() -> None:
    from absl import logging as lib

    lib.use_absl_handler()
    lib.set_verbosity(lib.DEBUG)
    # It writes I for debug as well, and ends the program at a fatal line.
    log_all(lib.get_absl_logger(), LEVELS[1:-1])
    log_all(lib.get_absl_logger(), LEVELS[-1:], 1)


def json_logger() -> None:
    from pythonjsonlogger.json import JsonFormatter

    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=10, handlers=[handler])
    log_all(logging.getLogger("train"))


def coloredlogs() -> None:
    import coloredlogs as lib

    lib.install(level=10, isatty=True)
    log_all(logging.getLogger("train"))


def colorlog() -> None:
    import colorlog as lib

    handler = lib.StreamHandler()
    handler.setFormatter(lib.ColoredFormatter("%(log_color)s%(levelname)-8s%(reset)s %(blue)s%(message)s", force_color=True))
    logging.basicConfig(level=10, handlers=[handler])
    log_all(logging.getLogger("train"))


def optuna() -> None:
    import optuna as lib

    lib.logging.set_verbosity(lib.logging.DEBUG)
    log_all(lib.logging.get_logger("optuna.study"))


def detectron() -> None:
    """As detectron2's formatter does: the level is shown in front of what is above info alone."""

    class Formatter(logging.Formatter):
        def formatMessage(self, record: logging.LogRecord) -> str:
            text = super().formatMessage(record)
            if record.levelno == logging.WARNING:
                return "\x1b[5m\x1b[31mWARNING\x1b[0m " + text
            if record.levelno in (logging.ERROR, logging.CRITICAL):
                return "\x1b[4m\x1b[5m\x1b[31mERROR\x1b[0m " + text
            return text

    handler = logging.StreamHandler()
    handler.setFormatter(Formatter("\x1b[32m[%(asctime)s %(name)s]: \x1b[0m%(message)s", "%m/%d %H:%M:%S"))
    logging.basicConfig(level=10, handlers=[handler])
    log_all(logging.getLogger("d2.engine"), ("info", "warn", "error"))


# Programs that set up more than a format. Those that are held out are not looked at when rules are written.
OWN = {
    "known": {
        "custom": custom,
        "unconfigured": unconfigured,
        "rich": rich,
        "loguru": loguru,
        "absl": absl,
        "structlog-console": lambda: structlog("console"),
        "structlog-json": lambda: structlog("json"),
    },
    "held-out": {
        "structlog-logfmt": lambda: structlog("logfmt"),
        "structlog-colours": lambda: structlog("colours"),
        "json-logger": json_logger,
        "coloredlogs": coloredlogs,
        "colorlog": colorlog,
        "optuna": optuna,
        "detectron2": detectron,
    },
}

if __name__ == "__main__":
    if len(sys.argv) == 1:
        print("\n".join(f"known {name}" for name in FORMATS))
        print("\n".join(f"{part} {name}" for part, styles in OWN.items() for name in styles))
    elif sys.argv[1] in FORMATS:
        formatted(*FORMATS[sys.argv[1]])
    else:
        (OWN["known"] | OWN["held-out"])[sys.argv[1]]()
