/* An Engram layer behind its projections: how far its gate opens, its convolution, and the sum with the residual. */
#ifndef EL_GATE_H
#define EL_GATE_H

/* M streams of width d, C = M * d; all float32. A pointer may be NULL where it says so. */
typedef struct {
    int streams;          /* M */
    int residual_streams; /* of the residual: M, or 1 that all of them read and are added to */
    int width;            /* d */
    int kernel, dilation; /* of the convolution; kernel 0: there is none */
    float gate_epsilon, conv_epsilon;
    const float *norm_key, *norm_query;  /* [M, d] */
    const float *norm_conv;              /* [M, d]; NULL without convolution */
    const float *conv;                   /* [kernel, C]; NULL without convolution */
    const float *key_bias, *value_bias;  /* [C], [d]; NULL: none */
    const float *conv_bias;              /* [C]; NULL: none */
} el_gate;

/* Adds the layer to n tokens of one sequence. Source: arXiv 2601.07372, section 2.3.
 * hidden [n, residual_streams * d]: the residual, in place; projected [n, C + d]: keys and values, overwritten;
 * conv [(kernel - 1) * dilation + n, C]: what the convolution took in before, and at its end what it takes in now. */
void el_gate_add(const el_gate *gate, int n, float *hidden, float *projected, float *conv);

/* The same on any CPU. */
void el_gate_add_plain(const el_gate *gate, int n, float *hidden, float *projected, float *conv);

#endif
