"""Legal concepts as a law student explains them, and cases from US tort law exams."""

import re
from collections.abc import Iterator

from hedgespec.zoo.domains.base import Item, TemplatedDomain, topic_items, wordings
from hedgespec.zoo.packages import evals_samples

_TOPICS = """
offer and acceptance in contract law
consideration in contract law
breach of contract
anticipatory breach
remedies for breach of contract
specific performance
liquidated damages
misrepresentation in contract law
duress and undue influence
mistake in contract law
frustration of contract
the statute of frauds
unconscionable contracts
third-party beneficiaries
assignment of contracts
the parol evidence rule
implied terms in contracts
exclusion clauses
capacity to contract
promissory estoppel
unjust enrichment
warranties in the sale of goods
negligence
the duty of care
causation in tort law
contributory negligence
comparative negligence
assumption of risk
strict liability
product liability
vicarious liability
defamation
libel and slander
invasion of privacy
trespass to land
private nuisance
public nuisance
battery and assault as torts
false imprisonment
intentional infliction of emotional distress
conversion of property
occupiers' liability
medical malpractice
punitive damages
wrongful death claims
the reasonable person standard
res ipsa loquitur
murder and manslaughter
self-defense in criminal law
the insanity defense
criminal intent
criminal conspiracy
attempted crimes
accomplice liability
theft and larceny
robbery
burglary
fraud
embezzlement
money laundering
bribery
perjury
arson
kidnapping
extortion and blackmail
entrapment
necessity as a defense
duress as a defense
the presumption of innocence
the burden of proof
proof beyond reasonable doubt
plea bargaining
the right to a fair trial
the right to counsel
the right to remain silent
double jeopardy
trial by jury
bail
search warrants
unreasonable searches and seizures
the exclusionary rule
arrest and detention
sentencing of offenders
parole and probation
juvenile justice
the death penalty
criminal appeals
habeas corpus
extradition
hearsay evidence
expert witnesses
circumstantial evidence
cross-examination of witnesses
attorney-client privilege
the chain of custody of evidence
pleadings in civil procedure
discovery in civil procedure
summary judgment
class actions
jurisdiction of courts
venue in civil cases
res judicata
statutes of limitations
injunctions
settlement agreements
mediation
arbitration
small claims courts
the appeal of a civil judgment
enforcement of judgments
judicial review
the separation of powers
the rule of law
checks and balances
federalism
due process
equal protection
freedom of speech
freedom of religion
freedom of the press
freedom of assembly
the right to privacy
the right to vote
impeachment
constitutional amendments
executive orders
legislative immunity
eminent domain
stare decisis
common law and civil law systems
statutory interpretation
administrative agencies
administrative hearings
delegated legislation
freedom of information laws
fee simple ownership
life estates
easements
adverse possession
joint tenancy and tenancy in common
mortgages
foreclosure
landlord and tenant law
eviction
security deposits of tenants
leases of commercial property
restrictive covenants
zoning
title insurance
wills
intestate succession
trusts
the duties of trustees
executors of estates
powers of attorney
guardianship
marriage contracts
divorce
child custody
child support
alimony
adoption
prenuptial agreements
domestic violence orders
the division of marital property
sole proprietorships
partnerships
limited liability companies
corporations
piercing the corporate veil
the fiduciary duties of directors
shareholder rights
mergers and acquisitions
insider trading
securities regulation
bankruptcy
secured transactions
agency law
franchising
antitrust law
price fixing
monopolies
consumer protection
false advertising
product safety rules
copyright
fair use
patents
trademarks
trade secrets
licensing of intellectual property
design rights
employment contracts
employment at will
wrongful dismissal
workplace discrimination
sexual harassment at work
minimum wage laws
collective bargaining
the right to strike
workers' compensation
non-compete clauses
whistleblower protection
occupational safety duties
income tax
value added tax
tax evasion and tax avoidance
immigration visas
asylum
citizenship and naturalization
deportation
treaties
state sovereignty
diplomatic immunity
the law of the sea
war crimes
the international court of justice
human rights law
environmental liability
pollution permits
data protection
computer crime
electronic signatures
insurance contracts
negotiable instruments
maritime liens
sports contracts
legal ethics
conflicts of interest of lawyers
contingency fees
legal aid
"""

_OPENINGS = [
    "As a law student, explain {topic} in detail.",
    "As a lawyer, explain {topic} to a client in detail.",
    "Write a chapter of a law textbook about {topic}.",
    "Write a legal memorandum about {topic}.",
]
_ENDINGS = [
    "State the legal rule, its elements, the exceptions, and an example of a court case.",
    "Define the legal terms, list the elements that a court requires, and apply them to an "
    "example.",
    "State the issue, the rule, the analysis of the court and the conclusion.",
]
_CASE_OPENINGS = [
    "As a law student, analyze this case: {case}",
    "Write a legal memorandum about this case: {case}",
]
_CASE_ENDINGS = [
    "State the issue, the rule, the analysis of the court and the conclusion.",
    "State the legal rule and its elements, and apply them to the facts in detail.",
]


def _items() -> Iterator[Item]:
    yield from topic_items(_TOPICS, _OPENINGS, _ENDINGS)
    for sample in evals_samples("us_tort_law/samples.jsonl"):
        # The case ends where the options "A. ...", "B. ..." begin.
        case = re.split(r"\nA[.)]", sample["input"][1]["content"])[0].strip()
        yield Item(case, wordings(_CASE_OPENINGS, _CASE_ENDINGS, case=case))


DOMAIN = TemplatedDomain("law", _items)
