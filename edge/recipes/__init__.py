"""Recipes as signed bundles: a pair of engines with everything that decides with them."""
