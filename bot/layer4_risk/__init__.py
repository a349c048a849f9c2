"""MAY WE: endorsed signals and accounts in, approved orders or refusals out."""
