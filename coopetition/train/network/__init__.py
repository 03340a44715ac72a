"""The papers' transformer, its encoders, and what is done to it from outside."""
