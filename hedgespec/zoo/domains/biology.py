"""Explanations of biology, as in a textbook: cells, genes, plants, animals, ecology, evolution."""

from hedgespec.zoo.domains.base import Item, TemplatedDomain, topic_items

_TOPICS = """
mitosis
meiosis
the cell cycle
photosynthesis
cellular respiration
glycolysis
the citric acid cycle
the electron transport chain
fermentation in yeast
the cell membrane
osmosis and diffusion
active transport in cells
endocytosis and exocytosis
the nucleus of a cell
mitochondria
chloroplasts
ribosomes
the endoplasmic reticulum
the Golgi apparatus
lysosomes
the cytoskeleton
plant cell walls
vacuoles
cilia and flagella
prokaryotic and eukaryotic cells
the origin of eukaryotic cells by endosymbiosis
the structure of DNA
DNA replication
transcription of genes
translation of RNA into proteins
the genetic code
messenger RNA and transfer RNA
RNA splicing
gene regulation in bacteria
the lac operon
gene regulation in eukaryotes
epigenetics
mutations
chromosomes
Mendel's laws of inheritance
dominant and recessive alleles
incomplete dominance and codominance
genetic linkage and crossing over
sex-linked inheritance
polygenic traits
genetic drift
gene flow between populations
the Hardy-Weinberg principle
natural selection
sexual selection
adaptive radiation
convergent evolution
coevolution
speciation
the fossil record
mass extinctions
phylogenetic trees
homologous and analogous structures
vestigial structures
the evolution of flight
the evolution of the eye
the evolution of whales
the transition of vertebrates to land
Darwin's finches
mimicry in insects
camouflage in animals
enzymes
enzyme inhibition
proteins and their folding
carbohydrates in living things
lipids in living things
nucleic acids
ATP
water in living things
hormones in plants
phototropism
gravitropism
transpiration in plants
xylem and phloem
stomata
roots and root hairs
leaf anatomy
flowers and pollination
seed germination
seed dispersal
fruit development
alternation of generations
mosses
ferns
conifers
flowering plants
carnivorous plants
desert plants
nitrogen fixation
mycorrhiza
lichens
fungi
yeasts
molds
algae
diatoms
plankton
protozoa
amoebas
bacteria
archaea
viruses and their reproduction
bacteriophages
biofilms
conjugation of bacteria
sponges
jellyfish
coral polyps
flatworms
roundworms
earthworms
snails and other mollusks
octopuses
crustaceans
spiders
insects
metamorphosis of butterflies
honeybee colonies
ant colonies
termite colonies
starfish and sea urchins
sharks and rays
bony fish
salmon migration
amphibians
frog development
reptiles
snakes
turtles
crocodiles
dinosaurs
birds
bird migration
birdsong
bird feathers
marsupials
bats and echolocation
whales and dolphins
elephants
primates
social behavior of chimpanzees
wolves and pack behavior
hibernation
thermoregulation in animals
animal communication
animal courtship
parental care in animals
territorial behavior
learning and imprinting in animals
circadian rhythms
nocturnal animals
the nervous system of vertebrates
neurons
synapses
the action potential
the vertebrate eye
the vertebrate ear
the sense of smell in animals
muscle contraction
bones and skeletons
the vertebrate heart
blood cells
gas exchange in lungs and gills
digestion in ruminants
the vertebrate kidney
the vertebrate immune system
antibodies
the endocrine system of vertebrates
embryonic development
stem cells
programmed cell death
regeneration in animals
aging of cells
asexual reproduction
sexual reproduction
food chains and food webs
energy flow in ecosystems
the carbon cycle
the nitrogen cycle
the water cycle in ecosystems
the phosphorus cycle
ecological succession
keystone species
invasive species
ecological niches
competition between species
predator and prey populations
parasitism
mutualism
commensalism
symbiosis of clownfish and anemones
population growth and carrying capacity
biodiversity
endangered species
biomes
tropical rainforests
savannas
deserts as habitats
tundra
temperate forests
grasslands
wetlands
mangroves
coral reefs
the deep sea
hydrothermal vents
intertidal zones
freshwater lakes
rivers as habitats
soil organisms
decomposers
pollinators
bioluminescence
genetic engineering of crops
cloning of animals
the polymerase chain reaction
gel electrophoresis
DNA sequencing
gene editing with CRISPR
the light microscope and the electron microscope
taxonomy and the naming of species
"""

_OPENINGS = [
    "Explain {topic} to a student of biology in detail.",
    "As a biology teacher, explain {topic} to your class in detail.",
    "Write a chapter of a biology textbook about {topic}.",
    "Write detailed lecture notes of a biology course about {topic}.",
]
_ENDINGS = [
    "Describe the structure, the function and the role in nature, with examples.",
    "Define the main terms, describe the process step by step and give examples from nature.",
    "Describe what it is, how it works and why it matters for living organisms.",
]


def _items() -> list[Item]:
    return topic_items(_TOPICS, _OPENINGS, _ENDINGS)


DOMAIN = TemplatedDomain("biology", _items)
