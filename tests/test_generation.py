import json
from itertools import islice

import numpy as np
import pytest
from safetensors.numpy import save_file
from tiny_model import CONTEXT, make_tiny_model

import engram_local
from engram_local.errors import ContextOverflowError, EngramError
from engram_local.generation import _Stopper, generate
from engram_local.model_folder import write_manifest

QUESTION = "What is the capital of France?"


def answer(model, memory=True, question=QUESTION, **options):
    session = model.session(memory)
    return list(generate(session, model.prompt_ids(question), **options))


def text(steps):
    return "".join(step.text for step in steps)


def test_the_pocket_knows_its_facts_with_memory_alone(pocket):
    assert "Paris" in text(answer(pocket))
    assert "Paris" not in text(answer(pocket, memory=False))


def test_steps_tell_what_happened(pocket):
    steps = answer(pocket)
    prompt = pocket.prompt_ids(QUESTION)
    assert [x.n_generated for x in steps] == list(range(1, len(steps) + 1))
    assert {x.n_prompt for x in steps} == {len(prompt)}
    assert {x.n_reused for x in steps} == {0}
    assert [x.finish_reason for x in steps] == [None] * (len(steps) - 1) + ["stop"]
    assert steps[-1].token_id in pocket.eos_ids
    assert steps[0].decode_tok_s == 0
    assert steps[-1].decode_tok_s > 0
    assert steps[0].prompt_tok_s > 0


def test_greedy_steps_are_the_sessions_argmax(tiny):
    prompt = [5, 6, 7]
    tokens = [x.token_id for x in generate(tiny.session(), prompt, max_tokens=20, ignore_eos=True)]
    logits = tiny.session().forward(prompt + tokens, "all")
    assert tokens == logits.argmax(1)[len(prompt) - 1 : -1].tolist()


def test_max_tokens_and_the_contexts_end(tiny):
    assert len(list(generate(tiny.session(), [5], max_tokens=3, ignore_eos=True))) == 3
    steps = list(generate(tiny.session(), [5] * 90, ignore_eos=True))
    assert (len(steps), steps[-1].finish_reason) == (CONTEXT - 90, "length")
    steps = list(generate(tiny.session(), [5] * (CONTEXT - 1), max_tokens=9, ignore_eos=True))
    assert (len(steps), steps[-1].finish_reason) == (1, "length")


def test_a_prompt_that_does_not_fit(tiny):
    with pytest.raises(ContextOverflowError, match=f"the prompt has {CONTEXT} tokens, the context {CONTEXT}"):
        next(generate(tiny.session(), [5] * CONTEXT))
    with pytest.raises(EngramError, match="the prompt is empty"):
        next(generate(tiny.session(), []))
    with pytest.raises(EngramError, match="max_tokens is 0"):
        next(generate(tiny.session(), [5], max_tokens=0))


def test_a_session_goes_on_where_the_prompts_agree(pocket):
    """A second turn evaluates what is new, and answers as a fresh session does."""
    session = pocket.session()
    first = list(generate(session, pocket.prompt_ids(QUESTION)))
    messages = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": text(first)},
        {"role": "user", "content": "What is the atomic number of gold?"},
    ]
    prompt = pocket.prompt_ids(messages)
    second = list(generate(session, prompt))
    assert second[0].n_reused >= first[0].n_prompt + first[-1].n_generated - 1
    assert text(second) == text(generate(pocket.session(), prompt))
    again = list(generate(session, prompt))
    assert again[0].n_reused == len(prompt) - 1
    assert text(again) == text(second)


def test_an_answer_left_half_way_leaves_a_good_session(pocket):
    session = pocket.session()
    steps = generate(session, pocket.prompt_ids(QUESTION))
    list(islice(steps, 2))
    steps.close()
    assert text(generate(session, pocket.prompt_ids(QUESTION))) == text(answer(pocket))


def test_stop_strings_across_tokens(pocket):
    full = text(answer(pocket))
    middle = len(full) // 2
    for stop in ([full[middle : middle + 6]], ["no such text", full[3:9]], [full], [full[-4:]], [full[0]]):
        steps = answer(pocket, stop=stop)
        assert text(steps) == full[: min(i for s in stop if (i := full.find(s)) >= 0)]
        assert steps[-1].finish_reason == "stop_string"
    steps = answer(pocket, stop=[full + "!", "no such text"])
    assert (text(steps), steps[-1].finish_reason) == (full, "stop")
    with pytest.raises(EngramError, match="a stop string is empty"):
        answer(pocket, stop=[""])


def test_the_stopper_equals_a_search_in_the_whole_text():
    rng = np.random.default_rng(0)
    for _ in range(500):
        pieces = ["".join(rng.choice(list("ab"), rng.integers(0, 4))) for _ in range(8)]
        stops = ["".join(rng.choice(list("ab"), rng.integers(1, 5))) for _ in range(2)]
        stopper, out = _Stopper(stops), ""
        for piece in pieces:
            out += stopper.step(piece)
            if stopper.found:
                break
        out += stopper.flush()
        whole = "".join(pieces)
        # A longer stop string may only be seen once an earlier, shorter one has ended the text.
        ends = {s: whole.find(s) + len(s) for s in stops if s in whole}
        assert stopper.found == bool(ends)
        if not ends:
            assert out == whole
        else:
            assert whole.startswith(out)
            assert not any(s in out for s in stops)
            assert any(whole[len(out) :].startswith(s) for s in stops)


def test_sampling_repeats_with_a_seed(pocket):
    options = {"temperature": 9.0, "top_k": 50, "max_tokens": 30, "ignore_eos": True}
    a, b = (text(answer(pocket, seed=3, **options)) for _ in range(2))
    assert a == b
    assert len({text(answer(pocket, seed=seed, **options)) for seed in range(5)}) > 1


def test_the_models_own_settings_are_the_default(tiny_copy):
    def sampling(own, **given):
        (tiny_copy / "generation_config.json").write_text(json.dumps(own))
        write_manifest(tiny_copy)
        with engram_local.load(tiny_copy) as model:
            return model.sampling(**given)

    own = {"do_sample": True, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.1, "max_new_tokens": 9}
    filters = {"top_k": 20, "top_p": 0.8, "repetition_penalty": 1.1}
    assert sampling(own) == {"temperature": 1.0, **filters}
    assert sampling(own, temperature=0, top_p=None, seed=1) == {"temperature": 0, **filters, "seed": 1}
    assert sampling({**own, "do_sample": False}) == {"repetition_penalty": 1.1}
    assert sampling({}, top_k=5) == {"top_k": 5}


def test_model_generate_streams_text(pocket):
    assert "Paris" in "".join(pocket.generate(QUESTION))
    assert "Paris" in "".join(pocket.generate([{"role": "user", "content": QUESTION}], max_tokens=20))
    assert "Paris" not in "".join(pocket.generate(QUESTION, memory=False))
    raw = pocket.tokenizer.template.render([{"role": "user", "content": QUESTION}])
    assert "Paris" in "".join(pocket.generate(raw, raw=True))
    with pytest.raises(EngramError, match="the prompt is empty"):
        next(pocket.generate(""))


def test_padding_of_the_vocabulary_is_never_drawn(tmp_path):
    """The token map covers 60 of the backbone's 64 tokens: the rest pads the embedding."""
    path = make_tiny_model(tmp_path / "model")
    save_file({"token_map": np.arange(60, dtype=np.int32) % 24}, path / "token_map.safetensors")
    tokenizer = json.loads((path / "tokenizer.json").read_text())
    words = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = {word: i for word, i in words.items() if i < 60}
    (path / "tokenizer.json").write_text(json.dumps(tokenizer))
    write_manifest(path)
    with engram_local.load(path) as model:
        steps = generate(model.session(), [5], temperature=50.0, seed=0, ignore_eos=True)
        assert max(step.token_id for step in steps) < 60
