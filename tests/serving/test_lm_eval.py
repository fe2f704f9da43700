"""The requests of lm-evaluation-harness (its local-completions model): log likelihoods are the Python API's."""

import httpx
import numpy as np
import pytest

PAIRS = [
    ("What is the capital of France?", " The capital of France is Paris."),
    ("The capital of Japan is", " Tokyo."),
    ("Water is", " wet and cold, é"),
]


def parse_logprobs(choice, n_context):
    """As the harness reads an answer: (log likelihood, whether the greedy choice would be the same)."""
    values = choice["logprobs"]["token_logprobs"][n_context:-1]
    tops = choice["logprobs"]["top_logprobs"][n_context:-1]
    return sum(values), all(value == max(top.values()) for value, top in zip(values, tops, strict=True))


@pytest.mark.parametrize("as_text", [False, True], ids=["ids", "text"])
def test_loglikelihood(server, pocket, as_text):
    with httpx.Client(base_url=server.url, timeout=60) as http:
        for context, continuation in PAIRS:
            n_context = len(pocket.tokenizer.encode(context))
            ids = pocket.tokenizer.encode(context + continuation)
            body = {"model": "pocket", "temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": True}
            body["prompt"] = context + continuation if as_text else [ids]
            (choice,) = http.post("/v1/completions", json=body).raise_for_status().json()["choices"]
            told, greedy = parse_logprobs(choice, n_context)
            with pocket.session() as session:
                logits = session.forward(ids, "all")[:, : pocket.n_tokens].astype(np.float64)
            scores = logits - logits.max(-1, keepdims=True)
            scores -= np.log(np.exp(scores).sum(-1, keepdims=True))
            expected = sum(scores[i - 1, ids[i]] for i in range(n_context, len(ids)))
            assert told == pytest.approx(expected, abs=1e-3 if "onnx" in server.arguments else 0.5)
            best = scores[n_context - 1 : -1].argmax(-1)
            assert greedy == (best == ids[n_context:]).all()
            said = choice["logprobs"]
            assert said["token_logprobs"][0] is None and len(said["tokens"]) == len(ids) + 1
            assert said["text_offset"][:2] == [0, len(said["tokens"][0])]
            assert choice["text"].startswith(context + continuation)


def test_scoring_alone(server, pocket):
    """max_tokens 0: nothing is generated."""
    ids = pocket.tokenizer.encode(PAIRS[0][0])
    body = {"prompt": ids, "max_tokens": 0, "logprobs": 0, "echo": True}
    done = httpx.post(f"{server.url}/v1/completions", json=body, timeout=60).raise_for_status().json()
    (choice,) = done["choices"]
    assert choice["text"] == PAIRS[0][0] and choice["finish_reason"] == "length"
    assert len(choice["logprobs"]["tokens"]) == len(ids) and done["usage"]["completion_tokens"] == 0
