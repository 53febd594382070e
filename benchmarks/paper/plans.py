"""The plan of every part of the paper: declared before anything is run, printed by `airtune bench paper --plan`.

Whoever changes a line here after the part was run has another plan: docs/project/preregistration.md says how that is
kept apart.
"""

from __future__ import annotations

from collections.abc import Mapping

from airtune.benchmarks.paper.protocol import LIMITS, Arm, Claim, Part

PAPER = "arXiv 2312.04528"
MODELS = ("smollm2", "pocket")  # the first is the one that the first screen is about

# Random search, and what is granted the default first, as the model's prompt shows it: without these, knowing the
# default passes for knowing the problem.
CLASSICAL = ("random", "default+random", "default+local", "tpe", "gp", "default+tpe", "default+gp")
ASKED = ("lm:{model}", "default+lm:{model}", "lm:{control}", "default+lm:{control}")
HIDDEN = ("lm:{model+names=hidden}", "default+lm:{model+names=hidden}")
NOISED = ("lm:{model}", "default+lm:{model}", "lm:{control}", *CLASSICAL)
PROGRAMS = ("lm:{model@code}", "lm:{model@code+history=none}", "lm:{control@code}", "random", "uniform")
NUMBERS = ("random", "default+random", "gp", "lm:{model}", "lm:pocket")  # beside programs
OURS = ("default+lm+gp:pocket", "default+lm+gp:uniform@pocket")

INTERVALS = (
    "95 % bootstrap intervals over data sets and seeds, of shares on which all data sets agree exact ones"
)
TESTS = (
    f"{INTERVALS}; a method against its know-nothing control: Wilcoxon's signed-rank test, exact, over the data sets' "
    "mean normalised regrets; that of the lead is the primary test and stands alone, the others have Holm's correction"
)
AGAINST_PAPER = (
    "each figure of the lead method is at least the paper's: that lies in our 95 % interval (equal) or below it "
    "(better). Whether it is the model that does it is the test against the same proposer around a model that knows "
    "nothing"
)


def _against_random(beats: float, median: float, mean: float, source: str) -> tuple[Claim, ...]:
    return (
        Claim("beats", "beats random search", source, beats),
        Claim("median", "median change", source, median),
        Claim("mean", "mean change", source, mean),
    )


PARTS: Mapping[str, Part] = {
    part.name: part
    for part in (
        Part(
            name="table1",
            title="HPOBench, 10 evaluations",
            question="Does a language model beat random search on HPOBench within 10 evaluations?",
            paper="GPT-4 Turbo on 32 tasks of HPOBench (8 data sets, 4 algorithms), 10 evaluations.",
            claims=_against_random(81.25, 13.70, 19.83, "Table 1"),
            arms=(
                Arm("published", "hpobench-published", (*ASKED, *CLASSICAL, *OURS)),
                Arm("clean", "hpobench", (*ASKED, *HIDDEN, *CLASSICAL, *OURS)),
                Arm("original", "original-mlp", (*ASKED, *HIDDEN, *CLASSICAL, *OURS), seeds=5),
            ),
            success=AGAINST_PAPER,
            tests=TESTS,
            departs="Tables of ours with coarser grids and lower fidelities than HPOBench's, in two protocols: "
            "published is the paper's, which scores rows that the model was in part fitted on; clean fits on the "
            "training rows. original: the authors' own tables of the perceptron on the same 8 data sets.",
        ),
        Part(
            name="table5",
            title="HPOBench, 60 evaluations",
            question="Does it still, with 60 evaluations?",
            paper="GPT-4 Turbo on the 32 tasks, 60 evaluations.",
            claims=_against_random(87.5, 16.31, 22.76, "Table 5"),
            arms=(
                Arm("published", "hpobench-published", (*ASKED, *CLASSICAL, *OURS), 60, 3, (10, 30, 60), ("pocket",)),
                Arm("original", "original-mlp", (*ASKED, *CLASSICAL, *OURS), 60, 3, (10, 30, 60)),
                Arm("clean", "hpobench", (*ASKED, *CLASSICAL, *OURS), 60, 3, (10, 30, 60), ("pocket",)),
            ),
            success=AGAINST_PAPER,
            tests=TESTS,
            departs="As table1. On 2 cores the real model is run for 60 evaluations on the authors' own tables only: "
            "the first screen is about the first arm, which has the small one.",
        ),
        Part(
            name="cot",
            title="Chain of thought",
            question="Does reasoning before the answer help?",
            paper="With and without chain of thought, GPT-4 Turbo beats random search on 81.25 % of the 32 tasks, by "
            "13.7 to 15.6 % at the median.",
            claims=(
                Claim("beats", "beats random search", "chain of thought", 81.25),
                Claim("median", "median change", "chain of thought", 13.7, 15.6),
                Claim("gap", "regret with reasoning, minus without", "chain of thought", 0.0, None, "", True),
            ),
            arms=(
                Arm(
                    "original",
                    "original-mlp",
                    ("lm:{model}", "lm:{model+reasoning=on}", "lm:{control}", *CLASSICAL),
                ),
            ),
            success="as in the paper, no clear difference: zero lies in the interval of the difference of mean "
            "normalised regret (equal), or reasoning is better",
            tests=TESTS,
            departs="The authors' own tables of the perceptron, 8 of the 32 tasks: a thought takes a small model on 2 "
            "cores ten times as long as an answer.",
            speech="chat",
        ),
        Part(
            name="prompts",
            title="Prompts",
            question="Is a compressed history as good as a conversation, and cheaper?",
            paper="The history as a conversation or compressed into one message, the problem described tersely or in "
            "detail: compressed is cheaper and about as good.",
            claims=(
                Claim("tokens", "prompt tokens, compressed over conversation", "prompts", None, None, "", True),
                Claim("gap", "regret compressed, minus as a conversation", "prompts", 0.0, None, "", True),
                Claim("terse", "regret described tersely, minus in detail", "prompts", 0.0, None, "", True),
            ),
            arms=(
                Arm(
                    "original",
                    "original-mlp",
                    (
                        "lm:{model}", "lm:{model+history=turns}", "lm:{model+detail=space}", "lm:{model+detail=none}",
                        "lm:{model+examples=1}", "lm:{model+summary=on}", "lm:{control}", "random", "default+random",
                    ),
                ),
            ),
            success="compressed takes fewer tokens of prompts, and zero lies in the interval of the difference of "
            "mean normalised regret (equal), or compressed is better",
            tests=INTERVALS,
            departs="HPOBench's perceptron in place of all 32 tasks.",
            speech="chat",
        ),
        Part(
            name="noise",
            title="Noise",
            question="Does it search as well on noisy losses?",
            paper="CIFAR-10, every metric multiplied by a draw from U(0.9, 1.1): about the same performance.",
            claims=(Claim("gap", "regret with noise, minus without", "noise", 0.0, None, "", True),),
            arms=(
                Arm("without", "original-mlp", NOISED),
                Arm("with", "original-mlp", NOISED, noise="U(0.9,1.1)"),
            ),
            success="zero lies in the interval of the difference of mean normalised regret (equal), or noise helps; "
            "regret is that of the true loss of what the search chose by noisy ones",
            tests=INTERVALS,
        ),
        Part(
            name="noise-cifar10",
            title="Noise, on CIFAR-10",
            question="Does it search as well on noisy losses of an image classifier?",
            paper="CIFAR-10, every metric multiplied by a draw from U(0.9, 1.1): about the same performance.",
            claims=(Claim("gap", "regret with noise, minus without", "noise", 0.0, None, "", True),),
            arms=(
                Arm("without", "cifar10/cnn-table", NOISED, seeds=20),
                Arm("with", "cifar10/cnn-table", NOISED, seeds=20, noise="U(0.9,1.1)"),
            ),
            success="as of noise",
            tests="95 % bootstrap intervals over seeds: there is one data set",
            departs="A table: a small network, trained beforehand on 3,800 images for 3 epochs at each of 504 points "
            "of a grid. --suite cifar10/cnn --data DIR trains it live, on ranges in place of the grid.",
        ),
        Part(
            name="code",
            title="Code as a hyperparameter",
            question="Does a model that writes programs beat random search on hyperparameters within 5 evaluations?",
            paper="NYC taxi regression, the model writes model and optimiser code, 5 evaluations: minimal test loss "
            "2.754e-4 ± 9.2e-5, random search 3.757e-3 ± 1.172e-3.",
            claims=(
                Claim("test", "test loss", "code generation", 1.834e-4, 3.674e-4, "", True),
                Claim("ratio", "random search's test loss over ours", "code generation", 13.64, None, ""),
            ),
            arms=(
                Arm("programs", "nyc_taxi/program", PROGRAMS, 5, 5, (5,)),
                Arm("hyperparameters", "nyc_taxi/mlp", NUMBERS, 5, 5, (5,)),
            ),
            success="the test loss of the lead is at most the paper's, and random search's on hyperparameters is at "
            "least as many times as large: equal where the paper's figure lies in the interval",
            tests="95 % bootstrap intervals over seeds: there is one data set",
            departs="5,000 training trips of 2016 and a target of our own scale, so the ratio says more than the loss; "
            "programs come from a typed grammar and run in a sandbox. Programs drawn independently (history=none) "
            "and by models that know nothing stand beside.",
            lead="lm:{model@code}",
            speech="chat",
        ),
        Part(
            name="hybrid",
            title="A model first, then a Gaussian process",
            question="Does Bayesian optimisation gain from a model's first ten trials?",
            paper="Ten trials from the model, then Bayesian optimisation: as good as Bayesian optimisation alone or "
            "better on 65.6 % of the 32 tasks.",
            claims=(Claim("matches", "as good as or better than Bayesian optimisation", "hybrid", 65.6),),
            arms=(
                Arm(
                    "published",
                    "hpobench-published",
                    (
                        "hybrid:{model}", "hybrid:{control}", "default+hybrid:{model}", "default+hybrid:{control}",
                        "gp", "default+gp", "random", "default+random",
                    ),
                    60, 3, (20, 30, 60),
                ),
            ),
            success="the share of tasks on which the hybrid is as good as Bayesian optimisation or better is at "
            "least the paper's at 20 evaluations, given the default or not: 65.6 % lies in its interval (equal) or "
            "below it (better)",
            tests=TESTS,
            departs="Bayesian optimisation is Optuna's Gaussian process. Of two methods that are the same, half of "
            "the tasks and all ties count as matched: the control stands beside.",
            lead="default+hybrid:{model}",
        ),
        Part(
            name="toy",
            title="Trajectories on toy functions",
            question="What does a search by the model look like?",
            paper="Trajectories on Rosenbrock, Branin, Ackley, Himmelblau and quadratics, drawn over the landscape.",
            claims=(Claim("beats", "beats random search", "no figure"),),
            arms=(
                Arm(
                    "toy",
                    "toy",
                    ("lm:{model}", "default+lm:{model}", "lm:{control}", "random", "default+gp"),
                    15, 5, (15,),
                ),
            ),
            success="none was stated: the trajectories are shown, the share of functions on which random search is "
            "beaten stands beside",
            tests=TESTS,
            departs="Ackley's domain is not centred on its optimum, which is the default that prompts show; "
            "functions are not named in the prompt.",
        ),
        Part(
            name="models",
            title="Models",
            question="How good are open models beside recorded ones?",
            paper="GPT-4, GPT-4 Turbo, GPT-3.5 Turbo and Llama3-8B.",
            claims=(
                Claim("beats", "beats random search", "no figure for open models"),
                Claim("median", "median change", "no figure for open models"),
            ),
            arms=(Arm("original", "original-mlp", (*ASKED, *CLASSICAL), seeds=5),),
            success="none was stated: models are shown with quality, tokens, cost and seconds; recorded ones are "
            "added by --models replay:answers.jsonl",
            tests=TESTS,
            departs="Models that fit the machine. Closed ones are recorded elsewhere (docs/how-to/paper.md).",
        ),
        Part(
            name="contamination",
            title="Contamination",
            question="Does a model use what it may remember of the benchmark?",
            paper="That known benchmarks may be in the training data is stated as a limit.",
            claims=(
                Claim("both", "regret renamed and on other ranges, minus as it is", LIMITS, 0.0, None, "", True),
                Claim("names", "regret renamed, minus as it is", LIMITS, 0.0, None, "", True),
                Claim("ranges", "regret on other ranges, minus as it is", LIMITS, 0.0, None, "", True),
            ),
            arms=(
                Arm("as it is", "original-mlp", ("lm:{model}", "lm:{model+names=hidden}", "lm:{control}", "random")),
                Arm("moved", "moved/original-mlp", ("lm:{model}", "lm:{model+names=hidden}", "lm:{control}", "random")),
            ),
            success="no gap: zero lies in the interval of the difference of mean normalised regret between the "
            "tasks as they are and the same with hyperparameters renamed and ranges moved and scaled; a gap above "
            "it is what names and remembered numbers are worth to the model, whether by knowledge of the field or "
            "of the benchmark",
            tests=INTERVALS,
            departs="The paper has no such experiment.",
        ),
        Part(
            name="validity",
            title="Invalid and repeated answers",
            question="How much of a budget do invalid and repeated answers cost without a grammar?",
            paper="Hallucinated, invalid and repeated answers are stated as failure modes.",
            claims=(
                Claim("useful", "answers valid and new", LIMITS),
                Claim("invalid", "answers invalid", LIMITS, lower_is_better=True),
                Claim("repeated", "answers tried before", LIMITS, lower_is_better=True),
            ),
            arms=(
                Arm("answers", "development-small", ("chat", "chat+examples=1", "chat+history=turns"), 10, 1, (10,)),
            ),
            success="with the grammar every answer is valid and new; what the same model loses without it stands "
            "beside",
            tests=INTERVALS,
            departs="The paper gives no figure.",
            speech="chat",
        ),
    )
}  # fmt: skip
ALIASES: Mapping[str, str] = {"repetition": "validity"}
