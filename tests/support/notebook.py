"""A script as a notebook's cells: no `if __name__ == "__main__"`, several runs, an error. Prints one line of JSON.

test_python_api.py runs it; mypy checks it as a user's own script.
"""

import json
import sys

import sut

HEAVY = ("numpy", "torch", "onnxruntime", "mlperf_loadgen", "rich")
imported = [name for name in HEAVY if name in sys.modules]

speed = sut.run(backend="fake", test_query_count=40, instances=2, threads=1, cores_per_instance=1, log_dir="speed")
assert speed.performance is not None
answers = sut.run(mode="accuracy", test_query_count=20, threads=1, log_dir="answers")
assert answers.accuracy is not None

messages: list[str] = []
try:
    sut.run(scenario="Ofline")
except sut.UsageError as error:
    messages.append(str(error))
try:
    sut.run(model="nowhere")
except sut.UsageError as error:
    messages.append(str(error))
try:
    sut.run(backend="fake", model="fake:raise_at=1", log_dir="broken")
except sut.RunFailedError as error:
    messages.append(str(error))
try:
    sut.run(scenaro="Offline")  # type: ignore[call-arg] # mypy knows the settings
except sut.UsageError as error:
    messages.append(str(error))

print(
    json.dumps(
        {
            "imported": imported,
            "verdicts": [speed.verdict, answers.verdict, sut.load("broken").verdict],
            "ready": len(speed.instances_ready or ()),
            "value": speed.performance.value,
            "again": sut.load("speed") == speed,
            "f1": [answers.accuracy.metrics["f1"], sut.score("answers").metrics["f1"]],
            "messages": messages,
        }
    )
)
