"""What the selection and the embedding cost on this machine, beside the ways that others would take.  Knows no store."""
