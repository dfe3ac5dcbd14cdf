"""Diseases as a medical student describes them, and exam questions of MedMCQA with the answer."""

from collections.abc import Iterator

from hedgespec.zoo.domains.base import Item, TemplatedDomain, topic_items, wordings
from hedgespec.zoo.packages import evals_samples

_DISEASES = """
asthma
chronic bronchitis
emphysema
pneumonia
tuberculosis
pulmonary embolism
pulmonary fibrosis
lung cancer
pleural effusion
pneumothorax
sleep apnea
cystic fibrosis
influenza
the common cold
whooping cough
sinusitis
tonsillitis
laryngitis
otitis media
Meniere's disease
hearing loss
hypertension
coronary artery disease
myocardial infarction
heart failure
atrial fibrillation
cardiomyopathy
endocarditis
pericarditis
aortic stenosis
mitral regurgitation
aortic aneurysm
peripheral artery disease
deep vein thrombosis
varicose veins
stroke
transient ischemic attack
subarachnoid hemorrhage
epilepsy
migraine
tension headache
Parkinson's disease
Alzheimer's disease
multiple sclerosis
amyotrophic lateral sclerosis
Guillain-Barre syndrome
myasthenia gravis
meningitis
encephalitis
Bell's palsy
trigeminal neuralgia
carpal tunnel syndrome
sciatica
concussion
brain tumors
restless legs syndrome
narcolepsy
insomnia
depression
bipolar disorder
schizophrenia
generalized anxiety disorder
panic disorder
obsessive-compulsive disorder
post-traumatic stress disorder
anorexia nervosa
bulimia nervosa
attention deficit hyperactivity disorder
autism spectrum disorder
alcohol dependence
opioid dependence
delirium
type 1 diabetes
type 2 diabetes
gestational diabetes
diabetic ketoacidosis
hypoglycemia
hypothyroidism
hyperthyroidism
goiter
thyroid cancer
Cushing's syndrome
Addison's disease
acromegaly
hyperparathyroidism
polycystic ovary syndrome
obesity
metabolic syndrome
hyperlipidemia
gout
osteoporosis
osteoarthritis
rheumatoid arthritis
ankylosing spondylitis
psoriatic arthritis
systemic lupus erythematosus
Sjogren's syndrome
scleroderma
fibromyalgia
tendinitis
rotator cuff tear
tennis elbow
herniated disc
scoliosis
osteomyelitis
hip fracture
ankle sprain
gastroesophageal reflux disease
gastritis
peptic ulcer
stomach cancer
celiac disease
lactose intolerance
irritable bowel syndrome
Crohn's disease
ulcerative colitis
diverticulitis
appendicitis
bowel obstruction
colorectal cancer
hemorrhoids
anal fissure
inguinal hernia
hiatal hernia
gallstones
cholecystitis
acute pancreatitis
chronic pancreatitis
pancreatic cancer
hepatitis A
hepatitis B
hepatitis C
liver cirrhosis
fatty liver disease
liver cancer
gastroenteritis
food poisoning
cholera
typhoid fever
peritonitis
urinary tract infection
pyelonephritis
kidney stones
acute kidney injury
chronic kidney disease
glomerulonephritis
nephrotic syndrome
polycystic kidney disease
bladder cancer
urinary incontinence
benign prostatic hyperplasia
prostate cancer
prostatitis
testicular torsion
erectile dysfunction
endometriosis
uterine fibroids
ovarian cysts
ovarian cancer
cervical cancer
breast cancer
pelvic inflammatory disease
pre-eclampsia
ectopic pregnancy
miscarriage
postpartum depression
menopause
infertility
iron deficiency anemia
pernicious anemia
sickle cell disease
thalassemia
hemophilia
leukemia
lymphoma
multiple myeloma
thrombocytopenia
sepsis
malaria
dengue fever
yellow fever
Lyme disease
rabies
tetanus
measles
mumps
rubella
chickenpox
shingles
infectious mononucleosis
scarlet fever
diphtheria
polio
HIV infection
syphilis
gonorrhea
chlamydia infection
genital herpes
COVID-19
toxoplasmosis
scabies
ringworm
acne
eczema
psoriasis
rosacea
urticaria
vitiligo
cellulitis
impetigo
melanoma
basal cell carcinoma
burns
pressure ulcers
anaphylaxis
hay fever
conjunctivitis
cataract
glaucoma
macular degeneration
retinal detachment
diabetic retinopathy
heat stroke
hypothermia
frostbite
dehydration
carbon monoxide poisoning
scurvy
rickets
vitamin B12 deficiency
"""

_OPENINGS = [
    "As a medical student, describe {topic}.",
    "As a medical student preparing for an exam, describe {topic} in detail.",
    "Explain {topic} to a medical student.",
    "Write a chapter of a medical textbook about {topic}.",
]
_ENDINGS = [
    "Describe the causes, symptoms, diagnosis and treatment in detail.",
    "Give the causes, risk factors, symptoms, diagnosis and treatment as numbered lists.",
    "Describe the causes, the symptoms, the diagnosis, the treatment and the prognosis of the "
    "patient.",
]
_EXAM_OPENINGS = [
    'As a medical student preparing for an exam in {subject}, explain in detail why "{answer}" '
    'is the answer to the question "{question}"',
]
_EXAM_ENDINGS = [
    "Describe the causes, symptoms, diagnosis and treatment of the condition behind it.",
    "Describe the condition behind it, and what it means for the diagnosis and treatment of the "
    "patient.",
]


def _items() -> Iterator[Item]:
    yield from topic_items(_DISEASES, _OPENINGS, _ENDINGS)
    for sample in evals_samples("medmcqa/samples.jsonl"):
        # "Subject: ...", an empty line, the question, an empty line, "a) ...", "b) ...", ...
        subject, _, rest = sample["input"][1]["content"].partition("\n\n")
        question = rest.partition("\n\na)")[0].strip()
        answer = sample["ideal"].partition(")")[2].strip()
        if "of the above" in answer.lower():
            continue  # says nothing without the other options
        if "Forensic" in subject:
            continue  # mostly about law
        yield Item(question, wordings(
            _EXAM_OPENINGS, _EXAM_ENDINGS,
            subject=subject.removeprefix("Subject: "), question=question, answer=answer,
        ))


DOMAIN = TemplatedDomain("medicine", _items)
