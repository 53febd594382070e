"""Speed of a real chat model, side by side in one process: the same files, prompts, grammars and threads.

Of a model in the `transformers` backend: with its prefix cache against prompts read whole, and against transformers'
own `generate` with outlines' logits processor. In `llama_cpp`: the cache, and llama.cpp's own server with GBNF and its
prompt cache, proposal by proposal and 16 samples of one prompt. In `vllm`: many studies against a loop of requests,
the whole and its decoding.

Every proposal is another one, with a trial more than the last: that is what a search asks. Seconds are of processor
time, which says more on a busy machine, and on the wall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from airtune.benchmarks import get_task
from airtune.benchmarks.measures.asking import Asking, InParts, alone, compare, search_requests
from airtune.benchmarks.measures.llama_server import llama_server
from airtune.benchmarks.measures.speed import Ratio
from airtune.grammars import AirtuneError, space_grammar
from airtune.models import Completion, Request, load_model
from airtune.models.spec import ModelSpec, parse_spec

TRIALS = (10, 30)
SAMPLES = 16  # of one prompt
STUDIES = (1, 8, 32)


def with_and_without_cache(spec: ModelSpec, task: str, repeats: int) -> list[Ratio]:
    """Ours with its prefix cache against prompts read whole each time."""
    off = {"prefix_cache": 0} if spec.backend == "llama_cpp" else {"prefix_block": 0}
    kept, whole = spec.load(), spec.load(**off)
    threads = kept.manifest()["settings"]["threads"]
    ratios = []
    for trials in TRIALS:
        batches = [[one] for one in search_requests(kept.dialect, task, trials, repeats + 1)]
        what = (
            f"proposal, {task}, {trials} trials, {spec.label}, threads={threads}; prefix cache against none"
        )
        ratios += compare(what, Asking(kept.generate, batches), Asking(whole.generate, batches), repeats)
    return ratios


def against_generate(spec: ModelSpec, task: str, repeats: int) -> list[Ratio]:
    """Ours against `generate` with outlines' processor, which may repeat a trial.

    Its index of the grammar without those that were tried takes minutes, and every proposal would need its own: it is
    given the space's grammar, and builds the index once, which is not part of the time.
    """
    try:
        import outlines
        from outlines.backends.outlines_core import OutlinesCoreBackend, OutlinesCoreLogitsProcessor
    except ImportError as error:
        raise AirtuneError(
            f"this comparison needs outlines ({error})", hint="pip install 'airtune[engines]'"
        ) from error
    import torch
    from transformers import LogitsProcessorList

    from airtune.models.backends.determinism import torch_threads

    loaded: Any = spec.load()
    backend = OutlinesCoreBackend(outlines.from_transformers(loaded.model, loaded.tokenizer))
    grammar = space_grammar(get_task(task).space)
    index = backend.get_regex_logits_processor(grammar.regex()).index

    def theirs(batch: Sequence[Request]) -> list[Completion]:
        (request,) = batch
        ids = loaded.prompts.encode(request.prompt)
        with torch_threads(loaded.threads):
            whole = loaded.model.generate(
                input_ids=torch.tensor([ids]),
                attention_mask=torch.ones(1, len(ids), dtype=torch.int64),
                logits_processor=LogitsProcessorList([OutlinesCoreLogitsProcessor(index, "torch")]),
                do_sample=True, top_k=0, top_p=1.0, temperature=1.0, max_new_tokens=grammar.max_length + 1,
            )  # fmt: skip
        new = whole[0, len(ids) :]
        text = loaded.tokenizer.decode(new, skip_special_tokens=True)
        return [Completion(text, tuple(new.tolist()), None, "stop", len(ids), None)]

    ratios = []
    for trials in TRIALS:
        requests = search_requests(loaded.dialect, task, trials, repeats + 1)
        free = [[replace(request, grammar=grammar)] for request in requests]
        ours = Asking(loaded.generate, [[request] for request in requests])
        what = f"proposal, {task}, {trials} trials, {spec.label}; against generate + outlines"
        ratios += compare(what, ours, Asking(theirs, free), repeats)
    return ratios


def against_server(spec: ModelSpec, task: str, repeats: int) -> list[Ratio]:
    """Ours against llama.cpp's own server: the same file, prompts, threads; GBNF of the same grammars.

    Its processor time is that of its process alone: what writing the GBNF and HTTP cost is not part of it.
    """
    loaded: Any = spec.load()
    threads = loaded.settings["threads"]
    ratios = []
    with llama_server(loaded.path, threads, loaded.context) as (url, spent):
        served = load_model(
            loaded.path.name, "openai", server="llama.cpp", base_url=url, endpoint="completions", concurrency=1,
            timeout_s=3600, max_retries=0,
        )  # fmt: skip
        for trials, samples in (*((trials, 1) for trials in TRIALS), (TRIALS[0], SAMPLES)):
            # Another search for each: neither has read its prompts.
            requests = search_requests(loaded.dialect, task, trials, repeats + 1, seed=samples)
            batches = [[replace(one, seed=n) for n in range(samples)] for one in requests]
            what = (
                f"{samples} x proposal of one prompt, {task}, {trials} trials, {spec.label}, "
                f"threads={threads}; against llama.cpp's server, {samples} requests"
            )
            ours, theirs = Asking(loaded.generate, batches), Asking(served.generate, batches, spent)
            ratios += compare(what, ours, theirs, repeats)
    return ratios


def batch_against_loop(spec: ModelSpec, task: str, repeats: int) -> list[Ratio]:
    """A proposal to each of some studies in one batch, against single requests one after the other; see `InParts`."""
    loaded = spec.load()
    ratios = []
    for studies in STUDIES:
        searches = [
            search_requests(loaded.dialect, task, TRIALS[0], 2 * repeats + 2, s) for s in range(studies)
        ]
        batches = list(zip(*searches, strict=True))
        # Not the same: both would find the other's prompts read.
        ours, theirs = InParts(loaded.generate, batches[::2]), InParts(alone(loaded), batches[1::2])
        what = f"{studies} x proposal, {task}, {TRIALS[0]} trials, {spec.label}; one batch against a loop"
        ratios += compare(what, ours, theirs, repeats)
    return ratios


COMPARISONS = {
    "transformers": (with_and_without_cache, against_generate),
    "llama_cpp": (with_and_without_cache, against_server),
    "vllm": (batch_against_loop,),
}


def measure_real(model: str, task: str, repeats: int) -> list[Ratio]:
    """The comparisons of this module that are of the model's backend.

    Args:
        model: A chat model in one word, see `airtune.models.spec`: ./smollm2@chat+history=turns, or
            llama_cpp:smollm2.
        task: Whose proposals.
        repeats: Measurements of each pair.

    Raises:
        AirtuneError: If it is no chat model of weights that are here, or what it is compared with is not installed.
    """
    spec = parse_spec(model)
    if spec.name == "pocket" or (spec.backend or "transformers") not in COMPARISONS:
        raise AirtuneError(
            "this comparison is of a real chat model",
            value=model,
            allowed="a checkpoint or GGUF file, in the backend transformers, llama_cpp or vllm",
            hint="name its directory with --model",
        )
    spec.check()
    return [
        ratio
        for measure in COMPARISONS[spec.backend or "transformers"]
        for ratio in measure(spec, task, repeats)
    ]


def left_out(model: str) -> list[str]:
    """What `measure_real` does not measure with this model, and why."""
    from airtune.models.backends.llama_cpp.library import library
    from airtune.models.backends.vllm.start import require_vllm

    mine = parse_spec(model)
    lines = []
    for backend, needs in (("transformers", None), ("llama_cpp", library), ("vllm", require_vllm)):
        if backend == (mine.backend or "transformers"):
            continue
        why = f"--model {backend}:{mine.name} does"
        try:
            if needs is not None:
                needs()
        except AirtuneError as error:
            why = error.message
        names = ", ".join(one.__name__ for one in COMPARISONS[backend])
        lines.append(f"not measured: {names} in the backend {backend} ({why})")
    return lines
