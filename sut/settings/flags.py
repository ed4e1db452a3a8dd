"""The command line of a run. Flags have no defaults of their own, so that what was not given stays open for TOML."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foundation import rules

_DESCRIPTION = """Run BERT on SQuAD v1.1, or on SST-2, under MLPerf's LoadGen.

python -m sut                                              a trial run of the embedded demo, Offline
python -m sut --mode accuracy                              the same with exact_match and F1
python -m sut --task sst2                                  sentiment instead of questions: the embedded demo of that
python -m sut --scenario Server --backend pytorch
python -m sut --model DIR --dataset dev-v1.1.json --execution-mode valid
python -m sut build --precision int8                       writes the int8 engine that a run would else write itself
python -m sut fetch NAME | assets                           brings models and data sets by name | lists them
python -m sut doctor                                       what works on this machine, and what is missing
python -m sut sweep --set "instances=1 2" --repeat 3       a grid of runs: medians, a table, a plot
python -m sut replay RUN                                   an earlier run again, and what differs
python -m sut presets                                      settings by name, for --preset
python -m sut kpi RUN…                                     a run's figures, as lines, CSV or a workbook
python -m sut ask --passage TEXT --question TEXT           the model's answer, with its probability
python -m sut compare PRESET...                            beside plain fp32: accuracy, latency, samples/s, engine alone
python -m sut submit | check | show --help                 a package for a round of MLPerf inference

Exit code: 0 valid, 1 invalid or accuracy missed, 2 usage, 3 failed.
"""


def parse(argv: Sequence[str], prog: str = "python -m sut") -> tuple[dict[str, Any], Path | None]:
    """(the flags that were given, by field of RunConfig; the TOML file to start from)."""
    values = vars(_parser(prog).parse_args(argv))
    return values, values.pop("config", None)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    add = parser.add_argument_group("what to run").add_argument
    add("--task", metavar="NAME", help="squad (default): questions, or sst2: sentiment")
    add("--preset", metavar="NAME", help="settings to start from, by name: `sut presets` lists them")
    add("--scenario", metavar="NAME", help="Offline (default), Server, SingleStream or MultiStream")
    add("--mode", metavar="NAME", help="performance (default) or accuracy")
    add("--backend", metavar="NAME", help="onnxruntime (default), pytorch, openvino, gpu, fake or replay")
    add("--model", metavar="WHAT", help="demo (default), a name of `sut assets`, a directory or file of weights, an "
        ".onnx file, or random:bert-large | random:bert-base | random:bert-tiny (random: for speed)")  # fmt: skip
    add("--precision", metavar="NAME", help="fp32 (default), int8; pytorch, openvino: bf16; onnxruntime: int8-dynamic; "
        "gpu: fp16, bf16, fp8, int8; fp16 on a CPU: what is best there, which is said")  # fmt: skip
    add("--dataset", type=Path, metavar="FILE", help="a file of the task: SQuAD v1.1, or SST-2 as TSV or parquet; or a "
        "name of `sut assets` (default: the embedded one, demo)")  # fmt: skip
    add("--vocab", type=Path, metavar="FILE", help="WordPiece vocabulary (default: vocab.txt beside the model)")
    add = parser.add_argument_group("how long").add_argument
    add("--execution-mode", metavar="NAME", help="test (default: short, never submittable) or valid (official length)")
    add("--test-query-count", type=int, metavar="N", help="queries of a test run (default: what fits in 10 s)")
    add("--steps", type=int, metavar="N", help="so many full batches of every instance instead, in a test run")
    add(
        "--warmup-steps",
        type=int,
        metavar="N",
        help="how often each warm-up shape is run before the clock (default: 1)",
    )
    add("--min-duration-s", type=float, metavar="S", help="shortest run (default: none in test, "
        f"{rules.MIN_DURATION_S} in valid)")  # fmt: skip
    add("--target-qps", type=float, metavar="X", help="LoadGen's target_qps (default: user.conf, else measured)")
    add("--target-latency-ms", type=float, metavar="MS", help="Server's limit at the 99th percentile, in a trial "
        f"(default: user.conf, else the benchmark's {rules.SERVER_LATENCY_MS})")  # fmt: skip
    add("--find-peak", action="store_true", help="Server: the highest target_qps that is valid, by bisection; each "
        "probe takes 10 s, or --min-duration-s")  # fmt: skip
    add = parser.add_argument_group("for a submission; `submit` sets these itself").add_argument
    add("--round", metavar="NAME", help="v5.0, v5.1, v6.0 or v6.1: whose seeds LoadGen draws with (default: those of "
        "its own release)")  # fmt: skip
    add("--audit-config", type=Path, metavar="FILE", help="LoadGen's audit.config, for a compliance run")
    add = parser.add_argument_group("where and with what").add_argument
    add("--log-dir", type=Path, metavar="DIR", help="LoadGen's logs and run.json (default: a new one below runs/)")
    add("--user-conf", type=Path, metavar="FILE", help="LoadGen's knobs (default: ./user.conf where there is one)")
    add("--config", type=Path, metavar="FILE", help="TOML with these flags' names; flags override it")
    add("--target", metavar="WHAT", help="what to reach, else exit code 1: accuracy: bert-99, bert-99.9, demo, "
        "demo-sst2 or percent; performance: samples/s at least, of the two streams ms at most")  # fmt: skip
    add(
        "--instances",
        type=int,
        metavar="N",
        help="loaded models, each a process on cores of its own (default: what the cores hold)",
    )
    add("--cores-per-instance", type=int, metavar="N", help="cores of an instance, within one NUMA node (default: all "
        "of a node in SingleStream and MultiStream, about 4 in Offline and Server)")  # fmt: skip
    add("--threads", type=int, metavar="N", help="threads of an instance (default: its cores)")
    add(
        "--max-batch-tokens",
        type=int,
        metavar="N",
        help="largest batch, in computed tokens (default: 1536; more on a GPU)",
    )
    add("--batch-size", type=int, metavar="N", help="samples of a batch, nearest in length (default: what the tokens "
        "allow); --max-batch-tokens then limits it only where it is given too")  # fmt: skip
    add("--fpmath-mode", metavar="NAME", help="bf16: fp32 may be multiplied in bfloat16, ARM's fast math; "
        "sets DNNL_DEFAULT_FPMATH_MODE and ONNX Runtime's own (default: strict)")  # fmt: skip
    add("--torch-mkldnn-matmul-min-dim", type=int, metavar="N", help="PyTorch on ARM: the smallest matrix side that "
        "oneDNN multiplies; sets TORCH_MKLDNN_MATMUL_MIN_DIM")  # fmt: skip
    add("--verbose", action="store_true", help="oneDNN's log of every call, to engine-<pid>.txt in the log directory; "
        "sets ONEDNN_VERBOSE and DNNL_VERBOSE, and takes time")  # fmt: skip
    add("--roi", action="store_true", help="print 'Running evaluation' where the timed window begins, and "
        "'Evaluating: 100%%' where it ends")  # fmt: skip
    add("--kpi", metavar="NAME", help="which figure `sut kpi` marks: throughput, latency or accuracy (default: the "
        "mode's and the scenario's)")  # fmt: skip
    add("--executor", metavar="NAME", help="processes (default: weights are loaded once and shared, where the backend "
        "can), spawned (each instance loads its own) or inline: one instance in this process")  # fmt: skip
    add(
        "--cache-dir",
        type=Path,
        metavar="DIR",
        help="features, engines and the demo data set (default: ~/.cache/mlperf-bert-sut)",
    )
    add = parser.add_argument_group("how an int8 engine is made, by a run or by `build`").add_argument
    add("--engine", type=Path, metavar="DIR", help="an engine that was built before, here or elsewhere (default: that "
        "in the cache which all of this decides, else it is built)")  # fmt: skip
    add("--calibration-dataset", type=Path, metavar="FILE", help="a file of the task (default: the demo's training "
        "set; for other models the data set that is run)")  # fmt: skip
    add(
        "--calibration-samples",
        type=int,
        metavar="N",
        help="how many of its samples (default: 500; random weights: 16)",
    )
    add("--calibration-list", type=Path, metavar="FILE", help="which of its samples, as MLPerf lists them: feature "
        "indices or question ids")  # fmt: skip
    add("--calibration-seed", "--seed", type=int, metavar="S", help="which of them (default: 0)")
    return parser
