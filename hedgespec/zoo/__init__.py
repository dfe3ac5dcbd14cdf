"""A zoo of drafters, each trained on one domain, and the prompts they are trained and tested on."""
