"""A real llama.cpp server on loopback, with a tiny model of random weights: what it says is noise, its cache is real.

It needs `pip install xllamacpp gguf` (llama.cpp's own server in a wheel, 34 MB). A token is a byte.
`python -m tests.benchmarks.llama_server MODEL.gguf SLOTS TOKENS` prints its URL, and serves until stdin ends.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["is_installed", "serving", "write_model"]

_BYTES = [b"<unk>", b"<s>", b"</s>", *(f"<0x{byte:02X}>".encode() for byte in range(256))]
_TEMPLATE = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}\n{% endfor %}[assistant]"
_DIM, _LAYERS, _HEADS, _HIDDEN = 64, 2, 2, 176


def is_installed() -> bool:
    """Whether there is a llama.cpp server, and what writes a model for it."""
    return find_spec("xllamacpp") is not None and find_spec("gguf") is not None


def write_model(path: Path) -> None:
    """Write a llama of 150,000 random weights, whose replies are small letters."""
    import gguf

    random = np.random.default_rng(7)
    writer: Any = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(1 << 16)
    writer.add_embedding_length(_DIM)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_HIDDEN)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(_DIM // _HEADS)
    writer.add_vocab_size(len(_BYTES))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(_BYTES)
    writer.add_token_scores([0.0] * len(_BYTES))
    kinds = gguf.TokenType
    writer.add_token_types([kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL, *[kinds.BYTE] * 256])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(_TEMPLATE)

    def add(name: str, *shape: int) -> None:
        writer.add_tensor(name, (random.standard_normal(shape) * 0.05).astype(np.float32))

    add("token_embd.weight", len(_BYTES), _DIM)
    output = np.zeros((len(_BYTES), _DIM), np.float32)
    output[3 + ord("a") : 3 + ord("z") + 1] = random.standard_normal((26, _DIM))
    writer.add_tensor("output.weight", output)
    ones = np.ones(_DIM, np.float32)
    writer.add_tensor("output_norm.weight", ones)
    for layer in range(_LAYERS):
        block = f"blk.{layer}."
        writer.add_tensor(f"{block}attn_norm.weight", ones)
        writer.add_tensor(f"{block}ffn_norm.weight", ones)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"{block}{name}.weight", _DIM, _DIM)
        add(f"{block}ffn_gate.weight", _HIDDEN, _DIM)
        add(f"{block}ffn_up.weight", _HIDDEN, _DIM)
        add(f"{block}ffn_down.weight", _DIM, _HIDDEN)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@contextmanager
def serving(model: Path, *, slots: int, tokens: int) -> Iterator[str]:
    """The `base_url` of a server of `model` with so many slots, each of which keeps at most `tokens`."""
    command = [sys.executable, "-m", "tests.benchmarks.llama_server", str(model), str(slots), str(tokens)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        address = next((line for line in process.stdout if line.startswith("http://")), None)
        if address is None:
            raise RuntimeError(f"llama.cpp's server ended with {process.wait()}")
        yield f"{address.strip()}/v1"
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def _serve(model: str, slots: int, tokens: int) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.n_parallel, params.n_ctx, params.kv_unified = slots, slots * tokens, False
    params.cache_ram_mib = 0  # nothing but what the slots have
    params.cpuparams.n_threads = 1
    params.warmup, params.ui, params.verbosity = False, False, 0
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
