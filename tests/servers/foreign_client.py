"""A client of the node that is not ours: foreign_client.py URL PROTOCOL [TOKEN], in Triton's virtual environment.

Reads a JSON list of samples' token ids from its input; prints the start logits that come back, one list a sample.
"""

from __future__ import annotations

import importlib
import json
import sys

import numpy as np

url, protocol, *token = sys.argv[1:]
library = importlib.import_module(f"tritonclient.{protocol}")
headers = {"authorization": f"Bearer {token[0]}"} if token else None
samples = json.load(sys.stdin)
ids = np.zeros((len(samples), max(map(len, samples))), np.int64)
mask = np.zeros_like(ids)
for row, sample in enumerate(samples):
    ids[row, : len(sample)], mask[row, : len(sample)] = sample, 1
client = library.InferenceServerClient(url)
assert client.is_server_live(headers=headers) and client.is_server_ready(headers=headers)
assert client.is_model_ready("bert", headers=headers)
print(client.get_model_metadata("bert", headers=headers), file=sys.stderr)
inputs = [library.InferInput(name, ids.shape, "INT64") for name in ("input_ids", "attention_mask")]
for one, array in zip(inputs, (ids, mask), strict=True):
    one.set_data_from_numpy(array)
answer = client.infer("bert", inputs, request_id="17", headers=headers)
found = answer.get_response()
assert (found["id"] if isinstance(found, dict) else found.id) == "17"
start = answer.as_numpy("start_logits")
print(json.dumps([row[: len(sample)].tolist() for row, sample in zip(start, samples, strict=True)]))
