"""Draws one progress display and ends. What it prints is a file of the corpus, see `make`."""

import sys
import time

TICK = 0.012


def tqdm_bar():
    from tqdm import tqdm

    bar = tqdm(range(40), desc="train", mininterval=0.01, ncols=80)
    for step in bar:
        time.sleep(TICK)
        bar.set_postfix(loss=f"{1 / (step + 1):.3f}")
    print("after the bar", file=sys.stderr)


def tqdm_nested():
    from tqdm import tqdm, trange

    for epoch in tqdm(range(3), desc="epochs", mininterval=0.01, ncols=70):
        for _ in trange(12, desc=f"epoch {epoch}", leave=False, mininterval=0.01, ncols=70):
            time.sleep(TICK)
        tqdm.write(f"epoch {epoch} done", file=sys.stderr)
    print("after the bars", file=sys.stderr)


def tqdm_glued():
    import logging

    from tqdm import tqdm

    logging.basicConfig(level=logging.INFO)
    print("before", file=sys.stderr)
    for step in tqdm(range(20), mininterval=0.01, ncols=70):
        time.sleep(TICK)
        if step == 9:
            logging.info("saved checkpoint")
        if step == 15:
            raise ValueError("loss is NaN")


def tqdm_bytes():
    from tqdm import tqdm

    with tqdm(total=5_000_000, unit="B", unit_scale=True, desc="model.bin", mininterval=0.01, ncols=80) as bar:
        for _ in range(20):
            time.sleep(TICK)
            bar.update(250_000)


def tqdm_endless():
    from tqdm import tqdm

    bar = tqdm(mininterval=0.01)
    for _ in range(25):
        time.sleep(TICK)
        bar.update()
    bar.close()


def rich_bars():
    from rich.console import Console
    from rich.progress import Progress

    console = Console(width=80)
    with Progress(console=console, refresh_per_second=20) as progress:
        tasks = [progress.add_task(name, total=total) for name, total in (("download", 20), ("unpack", 40))]
        for step in range(20):
            time.sleep(TICK * 2)
            progress.advance(tasks[0])
            progress.advance(tasks[1], 2)
            if step == 10:
                progress.console.print("half way")
    console.print("[red]all[/red] done")


def keras_bar():
    from keras.utils import Progbar

    print("Epoch 1/2")
    for _ in range(2):
        bar = Progbar(target=25)
        for step in range(1, 26):
            time.sleep(TICK * 3)
            bar.update(step, values=[("loss", 1 / step)], finalize=False)
        bar.update(25, values=[("loss", 0.1), ("val_loss", 0.2)], finalize=True)
    print("after the bars")


def keras_before_3():
    # As tf_keras prints, whose package needs TensorFlow: after keras/src/utils/generic_utils.py of Keras 2.
    total, width = 25, 30
    print("Epoch 1/1")
    before = 0
    for step in range(1, total + 1):
        time.sleep(TICK)
        filled = width * step // total
        bar = "=" * filled if step == total else "=" * max(filled - 1, 0) + ">" + "." * (width - max(filled, 1))
        text = f"{step:2}/{total} [{bar}] - "
        text += "1s 12ms/step" if step == total else f"ETA: {1 - step / total:.0f}s"
        text += f" - loss: {1 / step:.4f}"
        if step == total:
            text += " - val_loss: 0.3000"
        sys.stdout.write("\b" * before + "\r" + text + (" " * max(before - len(text), 0)))
        before = len(text)
        sys.stdout.flush()
    sys.stdout.write("\n")


def pip_download():
    from pip._internal.cli.progress_bars import get_download_progress_renderer

    chunk = b"x" * 50_000
    renderer = get_download_progress_renderer(bar_type="on", size=20 * len(chunk))
    print("Downloading train-1.0-py3-none-any.whl (1.0 MB)")
    for _ in renderer(chunk for _ in range(20)):
        time.sleep(TICK)
    print("Successfully installed train-1.0")


if __name__ == "__main__":
    globals()[sys.argv[1]]()
