"""How nodes find each other, and who of them runs what."""
