"""The first run: films of Wikidata, our scores beside baselines, a submission."""
