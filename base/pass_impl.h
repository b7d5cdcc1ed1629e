/* pass_impl.h - what the files of a pass share; see model.h for the contract. */
#ifndef LORAC_BASE_PASS_IMPL_H
#define LORAC_BASE_PASS_IMPL_H

#include "base/core/place.h"
#include "base/model.h"

/* Activations of one layer that the backward pass reads. */
struct layer_acts {
    float *q;         // (N,H,D) rotated
    float *k, *v;     // (N,G,D) k rotated
    float *attn;      // (N,H,D) attention's output
    float *lse;       // (N,H)
    float *mid;       // (N,C) x + attention
    float *gate, *up; // (N,F)
};

struct lorac_pass {
    const struct lorac_model *m;
    struct lorac_device *dev;
    struct lorac_socket socket; // self NULL and adapts NULL: the bare base
    bool has_socket;
    struct lorac_pass_options o;
    size_t lowest; // stage of the lowest module that trains; SIZE_MAX: none

    size_t n_sets;             // sets of layer activations: L or 1
    struct layer_acts *layers; // (n_sets)
    float **x;                 // (L+1) residual stream at each layer's input; x[L] is the end
    float **saved;             // (7 L + 1) what the socket keeps of each module; NULL: none
    float *scratch;            // of the socket, one call at a time; NULL: none, or an evaluation

    float *rope;    // (positions,D)
    float *norm;    // (N,C) a norm's output, recomputed in the backward
    float *h;       // (N,F) the gate's product, recomputed in the backward
    float *d;       // (N,C) gradient of the residual stream
    float *dnorm;   // (N,C)
    float *dh;      // (N,F)
    float *dattn;   // (N,H,D)
    float *dq;      // (N,H,D)
    float *dk, *dv; // (N,G,D)

    size_t head_rows;  // rows of logits at a time
    float *head_x;     // (head_rows,C)
    float *head_norm;  // (head_rows,C)
    float *head_dx;    // (head_rows,C)
    float *head_dnorm; // (head_rows,C)
    float *logits;     // (head_rows,V)

    void *block, *saved_block; // device memory
    size_t bytes, saved_bytes;
};

/* Is a backward to follow? Else it is an evaluation. */
static inline bool lorac_pass_trains(const struct lorac_pass *p)
{
    return p->o.keep != LORAC_KEEP_NOTHING;
}

struct lorac_cache {
    const struct lorac_model *m;
    size_t slots, rows;
    float *block;   // device memory
    float **k, **v; // (L) each (slots,rows,G,D)
};

/* Depth of a module in the forward pass: the embedding is 0, then each layer has the six of below, then come
 * the last norm and the head. */
enum {
    LORAC_STAGE_NORM_ATTENTION = 1,
    LORAC_STAGE_QKV,
    LORAC_STAGE_O,
    LORAC_STAGE_NORM_MLP,
    LORAC_STAGE_GATE_UP,
    LORAC_STAGE_DOWN,
    LORAC_STAGES = LORAC_STAGE_DOWN, // of a layer
};
size_t lorac_stage(const struct lorac_model *m, size_t module);
/* p->lowest, as it is now: an adapter may have got its gradients after the pass was made. */
void lorac_pass_find_lowest(struct lorac_pass *p);

/* Weight and vector of a module: the socket's, where they stand in for the model's own. */
const struct lorac_weight *lorac_pass_weight(const struct lorac_pass *p, size_t module);
const float *lorac_pass_vector(const struct lorac_pass *p, size_t module);

/* y (N,OC) = x W^T + b, adapted. `row`: see struct lorac_socket; it is 0 for all but the head. */
void lorac_linear_forward(struct lorac_pass *p, size_t module, float *y, const float *x, size_t N,
                          const struct lorac_batch *batch, size_t row);
/* dx (N,C) = beta dx + gradient through base and adapter; dx NULL: only the adapter's own gradients. */
void lorac_linear_backward(struct lorac_pass *p, size_t module, float *dx, const float *dy,
                           const float *x, size_t N, float beta, size_t row);

struct lorac_attention lorac_layer_attention(const struct lorac_config *c, size_t l);
void lorac_layer_forward(struct lorac_pass *p, size_t l, const struct lorac_batch *batch,
                         struct lorac_cache *cache);

#endif
