"""Optimal design on arrays.  Knows no text, no model, no file.

| symbol  | shape      | what it is                                                             |
|---------|------------|------------------------------------------------------------------------|
| X_i     | (M_i, d)   | rows of sentence i: last-layer token embeddings                        |
| sigma2  | scalar > 0 | the prior's weight, sigma_0^2 in the paper                             |
| V(S)    | (d, d)     | design matrix: sigma2 I + sum over i in S of X_i^T X_i                 |
| f(S)    | nats       | log det V(S) - log det V(empty): what the selection has gained         |
| gain_i  | nats       | f(S + i) - f(S) = log det(I + X_i V(S)^-1 X_i^T)                       |
"""
