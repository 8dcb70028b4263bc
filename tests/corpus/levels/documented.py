"""Lines of programs that need a GPU, a cluster or a service, made after the formats in their documents and sources.

`documented.py` prints `LEVEL<tab>doc:PROGRAM<tab>LINE`. Rules are written from these lines.
"""

from __future__ import annotations

from say import MESSAGES

LETTERS = {"info": "I", "warn": "W", "error": "E", "fatal": "F"}
WORDS = {"debug": "DEBUG", "info": "INFO", "warn": "WARN", "error": "ERROR"}
PYTHON = {"debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR", "fatal": "CRITICAL"}
LOG4J = {"trace": "TRACE", **WORDS, "fatal": "FATAL"}
LOWER = {level: word.lower() for level, word in WORDS.items()}

# program -> (format with {l} for the level's word and {m} for the message, the words by level)
FORMATS = {
    "glog": ("{l}1124 05:44:23.123456 12345 trainer.cc:12] {m}", LETTERS),
    "klog": ("{l}1124 05:44:23.123456       1 main.go:3] {m}", LETTERS),
    "c10": ("[rank3]:[{l}1124 05:44:23.436012345 ProcessGroupNCCL.cpp:689] [Rank 3] {m}", LETTERS),
    "c10-alone": ("[{l}1124 05:44:23.123456789 socket.cpp:464] [c10d] {m}", LETTERS),
    "tensorflow-c++": ("2026-11-24 05:44:23.123456: {l} tensorflow/core/util/port.cc:153] {m}", LETTERS),
    "nccl": ("node-1:4242:4250 [0] NCCL {l} {m}", {"trace": "TRACE", "info": "INFO", "warn": "WARN"}),
    "nccl-warn": ("[2026-11-24 05:44:23] node-1:4242:4250 [0] misc/socket.cc:538 NCCL {l} {m}", {"warn": "WARN"}),
    "nccl-version": ("{l} {m}", {"info": "NCCL version 2.21.5+cuda12.4"}),
    "deepspeed-rank": ("[2026-11-24 05:44:23,123] [{l}] [logging.py:96:log_dist] [Rank 0] {m}", PYTHON),
    "ray-core": ("[2026-11-24 05:44:23,123 {l} 4242 4250] core_worker.cc:215: {m}", LETTERS),
    "ray-worker": ("(RayTrainWorker pid=4242, ip=10.0.0.7) 2026-11-24 05:44:23,123\t{l} config.py:83 -- {m}", PYTHON),
    "ray-core-worker": (
        "\x1b[36m(RayTrainWorker pid=4242)\x1b[0m [2026-11-24 05:44:23,123 {l} 4242 4250] core_worker.cc:215: {m}",
        LETTERS,
    ),
    "vllm-worker": ("(VllmWorker rank=3 pid=12) {l} 11-24 05:44:23 [worker.py:58] {m}", PYTHON),
    "torchrun": ("[default0]:2026-11-24 05:44:23,123 - train - {l} - {m}", PYTHON),
    "torchrun-own": ("{l}1124 05:44:23.123000 140 torch/distributed/elastic/multiprocessing/api.py:868] {m}", LETTERS),
    "nemo": ("[NeMo {l} 2026-11-24 05:44:23 exp_manager:394] {m}", {"debug": "D", "info": "I", "warn": "W", "error": "E"}),
    "xgboost": ("[05:44:23] {l}: /workspace/src/learner.cc:740: {m}", {"debug": "DEBUG", "info": "INFO", "warn": "WARNING"}),
    "lightgbm": ("[LightGBM] [{l}] {m}", {"debug": "Debug", "info": "Info", "warn": "Warning", "fatal": "Fatal"}),
    "tracing": ("2026-11-24T05:44:23.123456Z {l:>5} train::queue: {m}", {"trace": "TRACE", **WORDS}),
    "tracing-span": ("2026-11-24T05:44:23.123456Z {l:>5} step{{n=3}}: train::queue: {m} len=3", {"trace": "TRACE", **WORDS}),
    "tracing-colours": (
        "\x1b[2m2026-11-24T05:44:23.123456Z\x1b[0m \x1b[33m{l:>5}\x1b[0m \x1b[2mtrain::queue\x1b[0m\x1b[2m:\x1b[0m {m}",
        WORDS,
    ),
    "env_logger": ("[2026-11-24T05:44:23Z {l:<5} train::queue] {m}", {"trace": "TRACE", **WORDS}),
    "slog-text": ('time=2026-11-24T05:44:23.123Z level={l} msg="{m}" n=3', WORDS),
    "slog-json": ('{{"time":"2026-11-24T05:44:23.123Z","level":"{l}","msg":"{m}","n":3}}', WORDS),
    "slog-default": ("2026/11/24 05:44:23 {l} {m} n=3", WORDS),
    "log4j": ("2026-11-24 05:44:23,123 [main] {l:<5} com.acme.Train - {m}", LOG4J),
    "log4j-short": ("05:44:23.123 [main] {l:<5} com.acme.Train - {m}", LOG4J),
    "logback": ("05:44:23.123 [main] {l:<5} c.acme.Train -- {m}", {"trace": "TRACE", **WORDS}),
    "nginx": (
        "2026/11/24 05:44:23 [{l}] 7#7: *1 {m}",
        {"info": "notice", "warn": "warn", "error": "error", "fatal": "emerg"},
    ),
    "systemd-run": ("systemd[1]: {m}", {"none": ""}),
    "print": ("{m}", {"none": ""}),
    "print-time": ("2026-11-24 05:44:23 {m}", {"none": ""}),
    "print-rank": ("[rank3]: {m}", {"none": ""}),
    "trainer-dict": ("{{'loss': 0.3, 'grad_norm': 1.2, 'learning_rate': 3e-05, 'epoch': 0.1}} {m}", {"none": ""}),
    "trt": ("[11/24/2026-05:44:23] [{l}] [TRT] {m}", {"debug": "V", "info": "I", "warn": "W", "error": "E", "fatal": "F"}),
    "triton": ("{l}1124 05:44:23.123456 1 server.cc:674] {m}", LETTERS),
    "triton-json-like": ("{l}1124 05:44:23.123456 1 model_lifecycle.cc:838] \"{m}\"", LETTERS),
    "horovod": ("[2026-11-24 05:44:23.123: {l} /tmp/horovod/common/stall_inspector.cc:107] {m}", LETTERS),
    "horovod-rank": ("[1,3]<stderr>:[2026-11-24 05:44:23.123: {l} /tmp/horovod/common/operations.cc:1] [3]: {m}", LETTERS),
    "jax": ("{l}1124 05:44:23.123456    7 xla_bridge.py:850] {m}", LETTERS),
    "tpu": ("{l}0000 00:00:1732426000.123456    4242 cpp_gen_intrinsics.cc:74] {m}", LETTERS),
    "ucx": ("[1732426000.123456] [node-1:4242:0]          ucp_context.c:1000 UCX  {l}  {m}", WORDS),
    "libfabric": (
        "libfabric:4242:1732426000::efa:ep_ctrl:efa_rdm_ep_open():12<{l}> {m}",
        {"debug": "debug", "info": "info", "warn": "warn"},
    ),
    "miopen": ("MIOpen(HIP): {l} [FindSolution] {m}", {"info": "Info", "warn": "Warning", "error": "Error"}),
    "aws-ofi": ("node-1:4242:4250 [3] NCCL {l} NET/OFI {m}", {"info": "INFO", "warn": "WARN"}),
    "rccl": ("node-1:4242:4250 [3] init.cc:1234 NCCL {l} {m}", {"warn": "WARN", "trace": "TRACE"}),
    "sglang": ("[2026-11-24 05:44:23 TP0] {m}", {"none": ""}),
    "tgi": ("2026-11-24T05:44:23.123456Z  {l} text_generation_launcher: {m}", WORDS),
    "kaldi": (
        "{l} (nnet3-train[5.5.0]:UpdateParamsWithMaxChange():nnet-utils.cc:12) {m}",
        {"info": "LOG", "warn": "WARNING", "error": "ERROR"},
    ),
    "spark": ("26/11/24 05:44:23 {l} NativeCodeLoader: {m}", WORDS),
    "hadoop": ("2026-11-24 05:44:23,123 {l:<5} [main] util.NativeCodeLoader (NativeCodeLoader.java:<clinit>(62)) - {m}", LOG4J),
    "kafka": ("[2026-11-24 05:44:23,123] {l} [GroupCoordinator 0]: {m} (kafka.coordinator.group.GroupCoordinator)", LOG4J),
    "spring": ("2026-11-24T05:44:23.123Z  {l:<5} 1 --- [           main] com.acme.Application  : {m}", LOG4J),
    "java-util": ("{l}: {m}", {"debug": "FINE", "info": "INFO", "warn": "WARNING", "error": "SEVERE"}),
    "zap": ("2026-11-24T05:44:23.123Z\t{l}\ttrain/main.go:12\t{m}\t{{\"n\": 3}}", WORDS),
    "zap-json": ('{{"level":"{l}","ts":1732426000.1,"caller":"a.go:1","msg":"{m}"}}', {**LOWER, "fatal": "fatal"}),
    "zerolog": ("5:44AM {l} {m} n=3", {"debug": "DBG", "info": "INF", "warn": "WRN", "error": "ERR", "fatal": "FTL"}),
    "logrus": ('time="2026-11-24T05:44:23Z" level={l} msg="{m}" n=3', {**LOWER, "warn": "warning", "fatal": "fatal"}),
    "logrus-terminal": ("{l}[0003] {m}  n=3", {"debug": "DEBU", "info": "INFO", "warn": "WARN", "error": "ERRO", "fatal": "FATA"}),
    "spdlog": (
        "[2026-11-24 05:44:23.123] [train] [{l}] {m}",
        {"trace": "trace", "debug": "debug", "info": "info", "warn": "warning", "error": "error", "fatal": "critical"},
    ),
    "boost.log": (
        "[2026-11-24 05:44:23.123456] [0x00007f12] [{l}]    {m}",
        {"trace": "trace", "debug": "debug", "info": "info", "warn": "warning", "error": "error", "fatal": "fatal"},
    ),
    "postgres": (
        "2026-11-24 05:44:23.123 UTC [12] {l}:  {m}",
        {"debug": "DEBUG1", "info": "LOG", "warn": "WARNING", "error": "ERROR", "fatal": "FATAL"},
    ),
    "etcd": ('{{"level":"{l}","ts":"2026-11-24T05:44:23.123Z","caller":"a.go:1","msg":"{m}"}}', LOWER),
    "mongo": (
        '{{"t":{{"$date":"2026-11-24T05:44:23.123Z"}},"s":"{l}","c":"NETWORK","id":1,"ctx":"main","msg":"{m}"}}',
        {"debug": "D1", **LETTERS},
    ),
    "bunyan": (
        '{{"name":"train","hostname":"h","pid":1,"level":{l},"msg":"{m}","time":"2026-11-24T05:44:23.123Z","v":0}}',
        {"trace": "10", "debug": "20", "info": "30", "warn": "40", "error": "50", "fatal": "60"},
    ),
    "gcp-json": ('{{"severity":"{l}","message":"{m}","timestamp":"2026-11-24T05:44:23Z"}}', PYTHON),
    "tracing-json": (
        '{{"timestamp":"2026-11-24T05:44:23Z","level":"{l}","fields":{{"message":"{m}"}},"target":"train"}}',
        {"trace": "TRACE", **WORDS},
    ),
    "ecs-json": ('{{"@timestamp":"2026-11-24T05:44:23Z","log.level":"{l}","message":"{m}","ecs.version":"1.2.0"}}', WORDS),
    "pip": ("{l}: {m}", {"warn": "WARNING", "error": "ERROR"}),
    "gcc": ("src/a.c:12:3: {l}: {m}", {"warn": "warning", "error": "error"}),
    "cargo": ("{l}: {m}", {"warn": "warning", "error": "error"}),
    "npm": ("npm {l} {m}", {"warn": "WARN", "error": "ERR!"}),
    "wandb-terminal": ("wandb: {l} {m}", {"warn": "WARNING", "error": "ERROR"}),
    "wandb-plain": ("wandb: {m}", {"none": ""}),
    "lightning-device": ("{m}", {"none": ""}),
    "jupyter": (
        "[{l} 2026-11-24 05:44:23.123 ServerApp] {m}",
        {"debug": "D", "info": "I", "warn": "W", "error": "E", "fatal": "C"},
    ),
    "tornado": ("[{l} 261124 05:44:23 web:2064] {m}", {"debug": "D", "info": "I", "warn": "W", "error": "E"}),
    "slurmd": ("slurmstepd: {l}: {m}", {"error": "error"}),
    "srun": ("srun: {l}: {m}", {"error": "error", "warn": "warning"}),
    "kernel-syslog": ("Nov 24 05:44:23 node-1 train[4242]: {l}: {m}", {"error": "error", "warn": "warning"}),
    "ray-raylet": ("\x1b[33m(raylet)\x1b[0m [2026-11-24 05:44:23,123 {l} 12 12] (raylet) node_manager.cc:1: {m}", LETTERS),
    "skypilot": ("\x1b[36m(task, pid=4242)\x1b[0m 2026-11-24 05:44:23,123 - train - {l} - {m}", PYTHON),
    "torchx": ("train/0 2026-11-24 05:44:23,123 {l} {m}", PYTHON),
    "verl": ("(WorkerDict pid=4242) {l}:2026-11-24 05:44:23,123:{m}", PYTHON),
    "accelerate": ("11/24/2026 05:44:23 - {l} - __main__ - {m}", PYTHON),
    "paddle": ("[2026-11-24 05:44:23,123] [{l:>8}] - {m}", PYTHON),
    "mindspore": ("[{l}] ME(4242:140,MainProcess):2026-11-24-05:44:23.123.456 [a.py:1] {m}", PYTHON),
    "dlrover": ("[2026-11-24 05:44:23,123] [{l}][training.py:12:run] {m}", PYTHON),
    "seldon": ("2026-11-24 05:44:23,123 [{l}] {m}", PYTHON),
    "print-tricky": ("Step 12/100 - {m}", {"none": ""}),
    "print-colon": ("Training: {m}", {"none": ""}),
}


def show() -> None:
    for place, (name, (form, words)) in enumerate(FORMATS.items()):
        for at, (level, word) in enumerate(words.items()):
            for nth in range(3 if len(words) > 1 else 9):
                text = MESSAGES[(place + at * 3 + nth * 5) % len(MESSAGES)]
                # A print that begins with a level's word states it.
                if level == "none" and text.startswith(("INFO", "Warning", "Error")):
                    text = "now " + text
                print(f"{level}\tdoc:{name}\t{form.format(l=word, m=text)}")


if __name__ == "__main__":
    show()
