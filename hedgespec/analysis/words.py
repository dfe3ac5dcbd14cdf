"""What the words of a report mean, in plain English, and what is in its traces."""

import numpy as np

from hedgespec.analysis.study import Study
from hedgespec.results.labels import EMITTED, QUEUED

MEASURES = {
    "MAT": "Mean accepted tokens: tokens emitted per round, with the one that the target adds to "
    "each round. More is better.",
    "round": "A drafter proposes some tokens, the target checks them in one pass, keeps a first "
    "part, and adds one token of its own.",
    "rounds": "How many of them an answer takes, in the mean over queries. Less is better.",
    "regret": "Rounds of a selector minus those of the best fixed drafter of the same answer. "
    "Less is better; below zero it was better than any one drafter.",
    "tokens/s": "Tokens per second, estimated: each round is charged what drafting, checking and "
    "evaluation took where the costs were measured.",
    "question": "What chance is counted by: all intervals say what other questions might have "
    "given. Turns of a question, and questions that ask the same in other words, count "
    "as one.",
    "n": "The number of questions.",
    "evaluation": "A drafter that did not draft reads the verified tokens, so that a learner sees "
    "how well it would have done.",
    "gamma": "The probability that the first token that a drafter proposes is accepted.",
    "EAL": "Expected accepted length: expected tokens of a round that starts at a position, in the "
    "mean over all positions.",
    "K": "The most tokens that a drafter proposes in a round.",
    "interval": "Where nothing else is said: 95% of what resampling the questions gives.",
    "queries": "Prompts that were answered.",
    "numbers": "Whether a row is an exact expectation, or a mean over seeds.",
}
SELECTORS = {
    "oracle": "In each round the drafter with the most expected tokens of that round, with "
    "knowledge of the text to come. Not a policy that can be run.",
    "best-fixed": "For each answer the one drafter with the fewest rounds on it, known afterwards. "
    "Regret is counted from it. Not a policy that can be run.",
    "fastest-fixed": "The same, by seconds. Not a policy that can be run.",
    "best-single": "The one drafter with the fewest rounds over all answers of the trace: the best "
    "choice for someone who takes one drafter for everything.",
    "fastest-single": "The same, by seconds.",
    "best-switching": "The best choice of a drafter in each round, with knowledge of the text to "
    "come. Not a policy that can be run.",
    "none": "No drafter: the target alone, one token a round.",
    "uniform": "In each round a drafter drawn blindly.",
    "router": "Reads the prompt, and takes one drafter for the whole answer.",
}
SETTINGS = {
    QUEUED: "A learner hears each position's losses once they are known, in order: the usual way.",
    "foresight": "It hears the losses of all text so far, complete; no live decoder can do that.",
    "bold": "2K copies of the learner take turns, each learning from its own positions.",
    "censored": "It hears what the verified text of a round shows at once, cut off at its end.",
    "chosen": "A bandit: it hears only of the drafter that drafted.",
    "rounds": "rounds:D: losses arrive D rounds later.",
    "batch": "batch:M: drafters are evaluated in every M-th round, on all text since.",
    "every": "every:M: it learns from every M-th round only.",
    "first": "first:n: it learns from the first n tokens only.",
    "round": "It learns only from positions where rounds started.",
    "actual": "Regret is counted against what was really played.",
    "eliminate": "eliminate:c,p: only drafters not clearly worse than the leader are evaluated.",
    "limited": "limited:m: only m drafters at a time are evaluated.",
    "binned": "binned:s: only drafters that take a part s of the time of all are evaluated.",
    "budget": "budget:s: no evaluation once it took more than a part s of the time.",
    "length": "Loss: one minus the expected tokens of a round, as a part of the most possible.",
    "accept": "Loss: the probability that the first proposed token is rejected.",
    "hybrid": "hybrid:X: X times the loss accept plus the rest of length.",
    "seconds": "Loss: expected seconds per token.",
    "visit": "Loss: how often a drafter would start a round here, used all the time.",
    "visit-seconds": "The same in seconds.",
    "gamma": "Estimate of a loss from acceptance probabilities.",
    "realised": "Estimate of a loss from what happened given the text; unbiased.",
    "rb": "Estimate of a loss, unbiased, with less noise than realised.",
    "prefill": "Losses as one pass over the verified text gives them.",
    "carried over": "The learner keeps what it learned from one query to the next.",
    "sampling": "Rule: a draft token is kept with probability min(1, target / drafter).",
    "greedy": "Rule: a draft token is kept if it is the target's likeliest.",
    "onehot": "Rule: a drafter's likeliest token is kept with the target's probability for it.",
    "block": "Rule: the whole draft is decided on together; never worse than sampling.",
    "gumbel": "Rule: drafter and target share their random numbers.",
    "tree": "Rule: several continuations are proposed at once, as a tree.",
    EMITTED: "What a bandit learns from: the tokens its own round emitted.",
}


def traces(study: Study) -> dict[str, str]:
    """What each trace holds: questions, domains, tokens, drafters, usual setting, costs."""
    return {trace: _trace(study, trace) for trace in study.traces}


def settings(study: Study) -> dict[str, str]:
    """The meaning of each word that stands in a setting of these results."""
    found: set[str] = set()
    for row in study.run.settings.select("feedback", "loss", "rule").unique().iter_rows():
        for label in row:
            found |= {
                part.split(":")[0]
                for term in str(label).split("+")
                for part in (term, *term.split(":"))
            }
    if study.run.settings["carry"].count():
        found.add("carried over")
    return {word: meaning for word, meaning in SETTINGS.items() if word in found}


def selectors(study: Study) -> dict[str, str]:
    """The meaning of each selector of these results that is no learner."""
    there = {name.partition(":")[0] for name in study.run.settings["selector"].unique()}
    return {name: meaning for name, meaning in SELECTORS.items() if name in there}


def _trace(study: Study, trace: str) -> str:
    answers = study.run.answers(trace)
    whose = study.run.whose_seconds([trace])
    domains = ", ".join(f"{name} {int((answers.domain == name).sum())}" for name in answers.domains)
    return (
        f"{len(np.unique(answers.question))} questions in {len(answers.tokens)} queries "
        f"({domains}), {answers.tokens.sum():,} tokens, {study.run.drafters(trace)} drafters; "
        f"usual setting {study.run.usual(trace)}; {whose or 'no costs, hence no seconds'}."
    )
