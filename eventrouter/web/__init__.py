"""The two HTTP faces: the public webhook, and the operator's API and feed."""
