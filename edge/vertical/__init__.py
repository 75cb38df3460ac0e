"""A party of a vertical session: its columns stay here, shares and answers go out."""
