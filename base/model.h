/*
 * model.h - a frozen base model: its weights, mapped and checked, and the passes that run it.
 *
 *   ids -> embed -> [ x + attention(norm(x)) ; x + mlp(norm(x)) ] x L -> norm -> lm_head -> logits
 *
 * A model is a list of modules in the order in which its program (program.h) first runs them: the
 * embedding, of each layer its norms and linear layers, the last norm, the head. Their names are
 * those that PEFT uses.
 *
 * Frozen means that no code here changes a weight or computes its gradient. What adapts the model
 * plugs into the **socket**. A linear layer with an adapter is the adapter's to run: it gets x, may
 * change it, calls the base's product when and with what it wants, may change y, and accumulates
 * its own gradients:
 *
 *   forward:   y = x W^T + b        lorac_linear_forward()
 *   backward:  dx (+)= dy W         lorac_linear_backward()
 *
 * W, b and the norms' gains are the model's own, or tensors of the socket that stand in for them
 * (modules trained in full). The backward pass ends at the lowest module that trains: nothing below
 * it is computed.
 */
#ifndef LORAC_BASE_MODEL_H
#define LORAC_BASE_MODEL_H

#include "base/batch.h"
#include "base/checkpoint/safetensors.h"
#include "base/compute/device.h"
#include "base/config.h"
#include "base/profile.h"

LORAC_API_BEGIN

enum { LORAC_MODULE_NAME = 96 }; // bytes of a module's name

enum lorac_role {
    LORAC_ROLE_EMBEDDING,
    LORAC_ROLE_POSITIONS, // learned positions, a matrix like the embedding
    LORAC_ROLE_TYPES,     // token types, another
    LORAC_ROLE_NORM,
    LORAC_ROLE_LINEAR,
    LORAC_ROLE_HEAD, // what logits come from
};

struct lorac_module {
    char name[LORAC_MODULE_NAME]; // as PEFT knows it: "model.layers.0.self_attn.q_proj"
    char file[LORAC_MODULE_NAME]; // as the files call it
    enum lorac_role role;
    size_t OC, C;           // of the weight of embedding (V,C), linear layer and head; 0: a norm
    bool transposed;        // stored as (C,OC): GPT-2's Conv1D
    enum lorac_dtype dtype; // stored in
    struct lorac_weight *w; // its handle; a tied head's is the embedding's
    const float *vector;    // (n) device memory: a linear layer's bias, a norm's gain, or gain and
                            // shift of a LayerNorm (2,C); NULL: none
    size_t n;
    bool residual; // a linear layer whose output is added to the residual stream as it is
    bool is_head;  // of the head that is made for a task (PEFT trains it in full)
    bool may_lack; // drawn where the files lack it, though not of that head
    bool fresh;    // the files have no such tensors: drawn, so whoever runs it trains it
    float *drawn;  // (OC,C) then, host memory
};
/* A linear layer, which can carry an adapter; the head is one. */
static inline bool lorac_module_is_linear(const struct lorac_module *m)
{
    return m->role == LORAC_ROLE_LINEAR || m->role == LORAC_ROLE_HEAD;
}

struct lorac_socket;
/* Opened by lorac_model_open(); read-only afterwards, so that several passes may share it. */
struct lorac_model {
    struct lorac_config config;
    char *dir;                      // the folder, as given
    struct lorac_device *dev;       // borrowed, must outlive the model
    enum lorac_compute compute;     // of the layers' products
    struct lorac_checkpoint *files; // the weights, mapped
    struct lorac_module *module;    // (n_modules)
    size_t n_modules;
    size_t embed, head;   // which of them the embedding and the head are; head n_modules: none
    uint32_t *step;       // module of each step: of the front's, of each layer's, of the head's
    float *vectors;       // the block that norms and biases lie in
    char fingerprint[65]; // of config, names, shapes and sampled bytes; see fingerprint.h
};

/* Open a Hugging Face folder: config.json and safetensors. Every tensor that the configuration asks
 * for must be there with its name and shape, and no other; weights stay mapped in the type of the
 * file. The products of its linear layers are computed in `compute`; where that is int8, those of
 * the head in bfloat16, or float32 on a device without. LORAC_ENOTSUP where the device does not
 * compute so. */
LORAC_MUST_CHECK enum lorac_status lorac_model_open(struct lorac_model **out,
                                                    struct lorac_device *dev, const char *dir,
                                                    enum lorac_compute compute,
                                                    struct lorac_err *err);
/* The same with the head of a task. One that the files don't have is drawn, keyed by seed and name,
 * as transformers draws it: its modules are `fresh`. */
struct lorac_model_options {
    enum lorac_compute compute;
    enum lorac_task task; // LORAC_TASKS: that of the files
    size_t labels;        // of the head; 0: as many as that of the files has
    uint64_t seed;
};
LORAC_MUST_CHECK enum lorac_status lorac_model_open_for(struct lorac_model **out,
                                                        struct lorac_device *dev, const char *dir,
                                                        const struct lorac_model_options *options,
                                                        struct lorac_err *err);
void lorac_model_close(struct lorac_model *m);

/* LORAC_EUSER for an encoder: it continues no text, whatever it predicts. */
LORAC_MUST_CHECK enum lorac_status lorac_model_check_continues(const struct lorac_model *m,
                                                               struct lorac_err *err);
/* Are embedding and output one matrix? */
static inline bool lorac_model_is_tied(const struct lorac_model *m)
{
    return m->config.tie && m->config.task == LORAC_TASK_LM;
}
/* The embedding as the files store it: under the output's name where the two are tied and only that
 * is there. NULL: neither is. */
const struct lorac_tensor *lorac_model_embedding(const struct lorac_model *m);
/* Which row of a text the head reads. */
enum lorac_text_row lorac_model_text_row(const struct lorac_model *m);
/* A module of the head that is drawn and that the socket does not stand in for: its name; NULL:
 * there is none. */
const char *lorac_model_untrained(const struct lorac_model *m, const struct lorac_socket *socket);

/* Parameters of the base (a tied matrix counts once). */
size_t lorac_model_parameters(const struct lorac_model *m);
/* What a module's products are computed in: lorac_model_open() says when it is not the model's. */
enum lorac_compute lorac_module_compute(const struct lorac_model *m, const struct lorac_module *l);
/* Bytes of the copies of weights that training makes for its products, of backward ones only above
 * `frozen` layers (lorac_frozen_layers); none of weights that the socket's (or NULL) stand in for.
 * Those of weights that can be multiplied as they are stored are made by lorac_model_prepare()
 * alone, and only where all copies take at most a quarter of the machine's memory, or those for
 * forward products do: these alone then. `left_out` (or NULL) are the bytes of those that are not
 * made. Others are made where a product needs them, too. */
size_t lorac_model_copies(const struct lorac_model *m, const struct lorac_socket *socket,
                          size_t frozen, size_t *left_out);
/* Make them now; lorac_pass_new() does for one that trains, and any other those of forward products
 * when its own have earned it. Before many products: they are a tenth faster then, and those of 9
 * to 64 rows a half, with the same results; those of fewer read weights where they are stored in
 * the type of the products in any case. The device has been started. Stored weights are read some
 * 64 MiB at a time, whose pages are let go of then (lorac_checkpoint_forget). */
enum { LORAC_PREPARE_ROWS = 9, LORAC_PREPARE_TOKENS = 4096 }; // of such batches, that earn it
#define LORAC_ALL_FROZEN SIZE_MAX                             // the head, too: no backward products
void lorac_model_prepare(const struct lorac_model *m, const struct lorac_socket *socket,
                         size_t frozen);
/* Bytes of the stored weights that nothing but their copies read: no step comes to them again. */
size_t lorac_model_let_go(const struct lorac_model *m, const struct lorac_socket *socket);

/* The modules that a configuration asks for: names, roles and shapes, without tensors. *step as in
 * the model, LORAC_NO_MODULE for steps that have none. Both are the caller's (lorac_mem_free). */
#define LORAC_NO_MODULE UINT32_MAX
LORAC_MUST_CHECK enum lorac_status lorac_modules_list(struct lorac_module **out, size_t *n,
                                                      uint32_t **step, const struct lorac_config *c,
                                                      struct lorac_err *err);
/* The tensors of a module's vector, one behind the other in it: a bias, a norm's "weight", a
 * LayerNorm's "weight" and "bias". How many (0: no vector), and what the k-th is called behind the
 * module's name. */
size_t lorac_vector_parts(const struct lorac_config *c, const struct lorac_module *m);
const char *lorac_vector_name(const struct lorac_module *m, size_t k);
/* The module of this name; n_modules: there is none. */
size_t lorac_module_find(const struct lorac_model *m, const char *name);
/* What a module is called where its architecture's other names are used (arch.h); its own name
 * where it has no other. */
void lorac_module_other_name(char other[LORAC_MODULE_NAME], const struct lorac_model *m,
                             const struct lorac_module *module);
/* What a tensor of the files is called as part of a module ("...decoder.bias" of "...bias"), and
 * back: what files write. */
void lorac_tensor_own_name(char own[LORAC_NAME_SIZE], const struct lorac_model *m,
                           const char *name);
void lorac_tensor_file_name(char file[LORAC_NAME_SIZE], const struct lorac_config *c,
                            const char *name);
/* Is it the text part of a larger model, whose other parts are not run? */
bool lorac_model_is_part(const struct lorac_model *m);
/* Is `name`, of a tensor or a module, one of those other parts (a vision tower)? */
bool lorac_model_leaves_out(const struct lorac_model *m, const char *name);

/* A linear layer at one call: its product, its rows, and memory of the pass. */
struct lorac_linear {
    struct lorac_device *dev;
    size_t m;                     // its module
    const struct lorac_weight *w; // (OC,C); NULL: somebody else takes care of the product
    const float *bias;            // (OC) or NULL
    float beta;                   // backward: dx becomes beta dx + what this layer gives; 0 or 1
    size_t N;
    size_t row; // of the first of the N rows among all that the module sees; a multiple of 4
    const struct lorac_batch *batch;
    bool scored;    // its rows are those of the batch that score, row + n the batch's head_row
    bool training;  // false: an evaluation, which drops and adds nothing at random
    float *saved;   // (saved_floats) written by forward, read by backward
    float *scratch; // (scratch_floats) clobbered; NULL in an evaluation
    struct lorac_profile *profile; // which the product's time goes to: as `cost`; or NULL
    struct lorac_cost *cost;
    double flops; // of the product
};
/* y (N,OC) written. Without w it stays as it is. */
void lorac_linear_forward(const struct lorac_linear *l, float *y, const float *x); // x (N,C)
/* dx (N,C) = beta dx + dy W. Without w, or where dx is NULL, nothing. */
void lorac_linear_backward(const struct lorac_linear *l, float *dx, const float *dy); // dy (N,OC)

/* The product of either direction, and what a pair adds to it: false where the device would gain
 * nothing by that, and computed nothing. */
LORAC_MUST_CHECK bool lorac_linear_pair(const struct lorac_linear *l, bool back, float *y,
                                        const float *x, const struct lorac_pair *pair);

/* What adapts the modules. One object may hold any number of adapters. */
struct lorac_socket {
    void *self;
    /* Does module m carry an adapter, or stand in with tensors of its own? Does it train? */
    bool (*adapts)(const void *self, size_t m);
    bool (*trains)(const void *self, size_t m);
    /* What stands in for module m's own weight (OC,C) and vector; NULL results: nothing does. NULL
     * functions: nothing ever does, and the two backwards below are not called. */
    const struct lorac_weight *(*weight)(const void *self, size_t m);
    const float *(*vector)(const void *self, size_t m, size_t first); // from that float of it on
    /* Floats that must survive from forward to backward for N rows. */
    size_t (*saved_floats)(const void *self, size_t m, size_t N);
    /* Floats that one call for N rows may clobber while it trains; NULL: none. They are the pass's:
     * passes of different sizes, and of several threads, share a socket. */
    size_t (*scratch_floats)(const void *self, size_t m, size_t N);
    /* Run linear layer l->m, which it adapts: its product included. */
    void (*forward)(void *self,
                    float *y,       // (N,OC) written
                    const float *x, // (N,C)
                    const struct lorac_linear *l);
    /* NULL where nothing trains: no backward pass reaches it. */
    void (*backward)(void *self,
                     float *dx,       // (N,C) beta dx + its gradient; NULL: nothing below it trains
                     const float *dy, // (N,OC)
                     const float *x,  // (N,C)
                     const struct lorac_linear *l);
    /* Accumulate the gradients of what stands in for a norm's vector and for a matrix of
     * embeddings. */
    void (*norm_backward)(void *self, size_t m,
                          const float *dy, // (N,C) of the norm's output
                          const float *x,  // (N,C) its input
                          size_t N, float eps);
    void (*embed_backward)(void *self, size_t m,
                           const float *dy,    // (N,C) of the rows looked up
                           const int32_t *ids, // (N) host
                           size_t N);
};

/* Keys and values of rows of earlier batches. Which of them belong together the caller knows:
 * segments name the rows that they continue. */
struct lorac_cache;
LORAC_MUST_CHECK enum lorac_status lorac_cache_new(struct lorac_cache **out,
                                                   const struct lorac_model *m, size_t rows,
                                                   struct lorac_err *err);
/* Bytes that such a cache takes. */
LORAC_MUST_CHECK enum lorac_status lorac_cache_measure(size_t *bytes, const struct lorac_model *m,
                                                       size_t rows, struct lorac_err *err);
void lorac_cache_free(struct lorac_cache *c);

enum lorac_keep {
    LORAC_KEEP_NOTHING, // forward only: an evaluation, whatever the socket
    LORAC_KEEP_LAYERS,  // each layer's input; the backward recomputes the rest of the layer
    LORAC_KEEP_ALL,     // everything but norms and gate products; inputs of products and gates as
                        // bfloat16 where products round them: not what norms and attention read
};

struct lorac_pass_options {
    size_t max_rows;      // of a batch
    size_t max_positions; // 0: the model's
    enum lorac_keep keep;
};

/* How many layers lie below the lowest module that the socket adapts, its embeddings included: what
 * leaves them depends on the tokens alone. L where it adapts none, or only what comes behind the
 * layers. */
size_t lorac_frozen_layers(const struct lorac_model *m, const struct lorac_socket *socket);

/* A workspace: all activations of one batch at a time, in one block. Of the layers below the lowest
 * adapter nothing is kept. Borrows model and socket. */
struct lorac_pass;
LORAC_MUST_CHECK enum lorac_status lorac_pass_new(struct lorac_pass **out,
                                                  const struct lorac_model *m,
                                                  const struct lorac_socket *socket, // or NULL
                                                  const struct lorac_pass_options *options,
                                                  struct lorac_err *err);
void lorac_pass_free(struct lorac_pass *p);
/* Charge what its operations take to a profile of its model, borrowed; NULL: no more. */
void lorac_pass_profile(struct lorac_pass *p, struct lorac_profile *f);
size_t lorac_pass_bytes(const struct lorac_pass *p); // of the block
/* Bytes that a pass with these options would take, without making it. */
LORAC_MUST_CHECK enum lorac_status lorac_pass_measure(size_t *bytes, const struct lorac_model *m,
                                                      const struct lorac_socket *socket,
                                                      const struct lorac_pass_options *options,
                                                      struct lorac_err *err);
/* Rows of logits that a pass of `max_rows` makes at a time: its float32 chunk is (rows,V). */
size_t lorac_pass_head_rows(const struct lorac_model *m, size_t max_rows);
/* Run with other adapters from now on (NULL: the bare base). Only for a pass that keeps nothing;
 * where it fails the pass runs on with what it had. */
LORAC_MUST_CHECK enum lorac_status lorac_pass_use(struct lorac_pass *p,
                                                  const struct lorac_socket *socket,
                                                  struct lorac_err *err);

/* Rows through all layers. Checks ids, positions and capacity; `cache` may be NULL where no segment
 * has a slot. */
LORAC_MUST_CHECK enum lorac_status lorac_pass_forward(struct lorac_pass *p,
                                                      const struct lorac_batch *batch,
                                                      struct lorac_cache *cache,
                                                      struct lorac_err *err);
/* The same in two parts, where layers are frozen (lorac_frozen_layers) and no segment needs a
 * cache. x (N,C) host is what leaves the last of them: the first part writes it, the second one
 * goes on from it, as often as one likes. A row's x depends on the tokens of its segment up to it,
 * and of those that it continues, alone. */
LORAC_MUST_CHECK enum lorac_status lorac_pass_forward_frozen(float *x, struct lorac_pass *p,
                                                             const struct lorac_batch *batch,
                                                             struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_pass_forward_rest(struct lorac_pass *p,
                                                           const struct lorac_batch *batch,
                                                           const float *x, struct lorac_err *err);
/* nll (T) host, written: the negative log-likelihood of each scored token, in nats, unweighted.
 * With `gradient`, the gradient of their sum, each times its weight in the batch, is put at the top
 * of the backward pass. Other losses than that: batch.h. After lorac_pass_forward(). */
void lorac_pass_loss(struct lorac_pass *p, const struct lorac_batch *batch, float *nll,
                     bool gradient);
/* logits (U,Z) host, written. After lorac_pass_forward(). */
void lorac_pass_logits(struct lorac_pass *p, const struct lorac_batch *batch, float *logits);
/* Accumulate the gradients of all that trains. After lorac_pass_loss(gradient = true). */
void lorac_pass_backward(struct lorac_pass *p, const struct lorac_batch *batch);

LORAC_API_END

#endif
