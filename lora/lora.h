/*
 * lora.h - low-rank adapters on a frozen model (Hu et al. 2021): what they are, how they train, and
 * their files.
 *
 *   y = x W^T + b + s drop(x) A^T B^T      A (R,C) random, B (OC,R) zero at the start
 *   s = alpha / R   (rsLoRA, Kalajdzievski 2023: alpha / sqrt(R))
 *
 * B lies in memory transposed, Bt (R,OC): then A and Bt are the same kind of matrix, R long rows,
 * and three products serve both. Files hold PEFT's B (OC,R).
 *
 * Beside the pairs an adapter may hold **full copies**: weights, norms' gains and biases that stand
 * in for the base's own and train whole (PEFT's modules_to_save and bias). The head of a task that
 * gives labels always is one, whatever the method; with the method none there is nothing else. With
 * all modules copied, training is pretraining.
 *
 * That is LoRA. DoRA and IA3 do other things to the same linear layers: which, is the adapter's
 * method, a row of the table in methods/, where each has its formulae.
 *
 * With PiSSA and OLoRA what trains, of rank r, is not what runs: a plain pair of rank R = 2r is,
 * which adds to the untouched base what training has changed. It is made anew after each step
 * (start.h), and saved.
 *
 * All parameters of an adapter are one block, its gradients another of the same layout, so that the
 * norm, the optimiser and the resume state are one call each. Matrices lie first, vectors behind
 * them: they decay differently.
 */
#ifndef LORAC_LORA_LORA_H
#define LORAC_LORA_LORA_H

#include "base/model.h"
#include "lora/saved.h"

LORAC_API_BEGIN

/* The names of the methods' table (lora/methods), in its order; NULL after the last. */
const char *lorac_method_name(size_t i);
/* Does this method read the option ("rank", "alpha", "scaling", "dropout", "init", "overrides",
 * "bias", "lr_ratio_b", "feedforward", "vector_decay", "targets", "exclude")? True for what all
 * read. */
bool lorac_method_reads(const char *name, const char *option);

enum lorac_scaling { LORAC_SCALE_STANDARD, LORAC_SCALE_RSLORA };
enum lorac_lora_init {
    LORAC_INIT_DEFAULT,  // A ~ U(-1/sqrt(C), 1/sqrt(C)), B = 0     (PEFT init_lora_weights true)
    LORAC_INIT_GAUSSIAN, // A ~ N(0, (1/R)^2), B = 0                (PEFT "gaussian")
    LORAC_INIT_PISSA,    // s B A the principal part of W; trains against W - s B A (PEFT "pissa")
    LORAC_INIT_OLORA,    // B, A the first of W = Q R, the same          (PEFT "olora")
};

/* Which modules, with PEFT's rules (facts: tuners_utils.py check_target_module_exists). */
struct lorac_override {
    const char *match; // regex; fits as PEFT's rank_pattern keys do: ^(.*\.)?(match)$
    size_t rank;       // 0: not overridden
    double alpha;      // 0: not overridden
};

/* Embedding and output of a tied base are one matrix. Trained in full: do they stay one, or part?
 */
enum lorac_tie { LORAC_TIE_UNSET, LORAC_TIE_KEEP, LORAC_TIE_UNTIE };
/* Which biases train, PEFT's `bias`: none, those of modules with a pair, or all; LayerNorms have
 * some, too. */
enum lorac_bias { LORAC_BIAS_NONE, LORAC_BIAS_LORA_ONLY, LORAC_BIAS_ALL };
/* Their words, which are PEFT's; NULL after the last. */
const char *lorac_bias_name(size_t i);

struct lorac_adapter_options {
    const char *method;         // a row of their table; NULL: "lora"
    const char *regex;          // full-match regex, or
    const char *const *targets; // name suffixes (n_targets); both absent: all-linear
    size_t n_targets;
    const char *const *exclude; // name suffixes
    size_t n_exclude;
    const char *const *feedforward; // name suffixes of targets that are adapted at their input
    size_t n_feedforward;
    const size_t *layers; // indices of the layers that may match; NULL: all
    size_t n_layers;
    const struct lorac_override *overrides; // the first that fits wins
    size_t n_overrides;
    size_t rank;
    double alpha;
    enum lorac_scaling scaling;
    double dropout; // 0 .. <1, on the adapters' input
    enum lorac_lora_init init;
    uint64_t seed;
    const char *const *train_also; // (n_train_also) name ends of modules trained in full
    size_t n_train_also;
    bool train_all; // every module is; no pairs then
    enum lorac_tie tie;
    enum lorac_bias bias;
    void (*progress)(void *self, double done); // while PiSSA and OLoRA factor weights; NULL: untold
    void *self;
};

/* What a recipe says that says nothing: rank 8, alpha 16, on all linear layers. */
struct lorac_adapter_options lorac_adapter_options_default(void);

/* One adapted module. */
enum { LORAC_SITE_TENSORS = 3 };
struct lorac_site {
    size_t m;        // its index
    size_t R, C, OC; // R is 1 where the method has no rank
    bool input;      // adapted at its input (feedforward)
    double alpha;
    float scale;  // s
    bool starts;  // from its weight (PiSSA, OLoRA): half of the rank trains
    size_t first; // its first tensor's place in the parameter block
    /* The method's tensors (LoRA: A (R,C), Bt (R,OC)) in the adapter's parameter block, or made of
     * what is there (start.h), and their gradients; dp NULL where it doesn't train. */
    float *p[LORAC_SITE_TENSORS], *dp[LORAC_SITE_TENSORS];
    float *derived;    // what follows from them: lorac_adapter_refresh()
    uint64_t drop_key; // of its dropout stream
};

/* One tensor trained in full. */
struct lorac_full {
    size_t m;               // its module; of a tied pair (LORAC_TIE_KEEP) the embedding
    bool vector;            // a norm's gain or a bias; otherwise a weight
    size_t first;           // of the module's vector: of a LayerNorm's shift alone C, otherwise 0
    size_t n;               // floats
    struct lorac_weight *w; // a weight's handle, over p
    float *p, *dp; // in the parameter block and the gradient block; dp NULL where it doesn't train
};

struct lorac_adapter {
    const struct lorac_model *model; // borrowed
    const struct lorac_method *method;
    size_t n;                // adapted modules, in order of m
    struct lorac_site *site; // (n)
    int32_t *at;             // (n_modules) index into lora, or -1
    size_t n_full;           // weights in order of m, then vectors in order of m
    struct lorac_full *full; // (n_full)
    int32_t *weight_at;      // (n_modules) index into full of what stands in for the weight, or -1
    int32_t *vector_at;      // (n_modules) and for the vector
    enum lorac_tie tie;
    enum lorac_bias bias;
    size_t n_params;       // floats in params
    size_t n_matrices;     // of them in matrices, which lie first; the rest are vectors
    float *params, *grads; // device memory; grads NULL where it doesn't train
    size_t n_derived;      // floats in derived, which also holds scratch to work it out
    float *derived;        // device memory
    bool settled;
    struct lorac_start *start; // of PiSSA and OLoRA, or NULL
    enum lorac_scaling scaling;
    enum lorac_lora_init init; // as files say it: with PiSSA and OLoRA the default
    double dropout;
    uint64_t step;       // dropout draws are a function of it
    char *template_json; // the prompt template saved with it (saved.h), or NULL
    char *name;          // folder it came from, or NULL
};

/* For each of the model's modules: the rank and alpha it gets, 0 where it has no adapter, and which
 * of its tensors train in full. A target, exclusion, override or train_also that matches nothing is
 * LORAC_EUSER with the near misses listed. */
struct lorac_match {
    size_t rank;
    double alpha;
    bool starts; // with PiSSA and OLoRA: twice the rank that trains, and alpha that leaves s as it
                 // was
    bool input;  // adapted at its input
    bool weight, vector; // trained in full
    bool shift;          // of a LayerNorm's vector the shift alone
};
LORAC_MUST_CHECK enum lorac_status lorac_match_modules(struct lorac_match *out, // (n_modules)
                                                       const struct lorac_model *m,
                                                       const struct lorac_adapter_options *o,
                                                       struct lorac_err *err);

/* A fresh adapter: A random (keyed by seed and tensor name), B zero, full copies as the base has
 * them. */
LORAC_MUST_CHECK enum lorac_status lorac_adapter_new(struct lorac_adapter **out,
                                                     const struct lorac_model *m,
                                                     const struct lorac_adapter_options *o,
                                                     struct lorac_err *err);
/* An adapter with the given modules and no values yet (readers). */
LORAC_MUST_CHECK enum lorac_status lorac_adapter_alloc(
    struct lorac_adapter **out, const struct lorac_model *m,
    const struct lorac_match *match, // (n_modules)
    const char *method, enum lorac_scaling scaling, enum lorac_tie tie, struct lorac_err *err);
/* Modules and shapes alone, without memory for values: to measure what an adapter would take. */
LORAC_MUST_CHECK enum lorac_status lorac_adapter_outline(
    struct lorac_adapter **out, const struct lorac_model *m,
    const struct lorac_match *match, // (n_modules)
    const char *method, enum lorac_scaling scaling, enum lorac_tie tie, struct lorac_err *err);
void lorac_adapter_free(struct lorac_adapter *a);
/* Make it trainable: give it gradients, zero. */
LORAC_MUST_CHECK enum lorac_status lorac_adapter_reserve(struct lorac_adapter *a,
                                                         struct lorac_err *err);
void lorac_adapter_zero_grads(struct lorac_adapter *a);
/* What backward passes accumulate in, before an optimiser has looked at it: block i (*n floats) of
 * device memory; NULL: there are no more. */
float *lorac_adapter_grads(size_t *n, const struct lorac_adapter *a, size_t i);
/* Floats of memory that it takes to train, without the optimiser's. */
size_t lorac_adapter_floats(const struct lorac_adapter *a);
/* With PiSSA and OLoRA: the values that A and B^T of all pairs had before the first step (n),
 * device memory; a state that is taken up again needs them, because another machine factors a
 * weight otherwise. NULL and 0 elsewhere. */
float *lorac_adapter_start(const struct lorac_adapter *a, size_t *n);
/* Parameters, or what lorac_adapter_start() gives, were written: work out what runs of them (those
 * pairs; DoRA's norms of rows). Whoever writes calls it before the next pass; lorac_adapter_new(),
 * lorac_peft_load() and lorac_optim_step() have. LORAC_EUSER where they give none, with the
 * module's name. */
LORAC_MUST_CHECK enum lorac_status lorac_adapter_refresh(struct lorac_adapter *a,
                                                         struct lorac_err *err);
/* The socket through which passes run it: those that train, and evaluations. */
struct lorac_socket lorac_adapter_socket(struct lorac_adapter *a);
/* The method's word for people: "LoRA". */
const char *lorac_adapter_title(const struct lorac_adapter *a);
/* Tensors of all sites. */
size_t lorac_adapter_tensors(const struct lorac_adapter *a);
/* Numbers that train at site i. */
size_t lorac_site_params(const struct lorac_adapter *a, size_t i);
/* Name of its tensor k in PEFT's file: "base_model.model.<module>.lora_A.weight". */
void lorac_site_tensor_name(char name[LORAC_NAME_SIZE], const struct lorac_adapter *a, size_t i,
                            size_t k);
/* Copy that tensor (LoRA: A (R,C), B (OC,R)), as the file holds it, to and from host memory. */
LORAC_MUST_CHECK enum lorac_status lorac_site_read(float *host, const struct lorac_adapter *a,
                                                   size_t i, size_t k, struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_site_write(struct lorac_adapter *a, size_t i, size_t k,
                                                    const float *host, struct lorac_err *err);
/* Fill full copy i with the base's own values. */
void lorac_full_copy(struct lorac_adapter *a, size_t i);
/* Drop this share of the adapters' inputs while training; the draws are a function of the seed, the
 * module and a->step. */
void lorac_adapter_set_dropout(struct lorac_adapter *a, double dropout, uint64_t seed);
/* Does a site change anything? False where there are sites and, say, every B is zero;
 * lorac_adapter_idle_text() is what the method calls that. */
bool lorac_adapter_changes(const struct lorac_adapter *a);
const char *lorac_adapter_idle_text(const struct lorac_adapter *a);
bool lorac_adapter_has_rank(const struct lorac_adapter *a); // and an alpha, as its method does
/* Is there a module that changes nothing, its B zero or a full copy still the base's? The first's
 * name. */
bool lorac_adapter_idle(char name[LORAC_MODULE_NAME], const struct lorac_adapter *a);

/* Several adapters at once, each with a factor: y = x W^T + b + sum factor s x A^T B^T. For
 * inference. */
enum { LORAC_MAX_STACK = 8 };
struct lorac_stack {
    size_t n;
    const struct lorac_adapter *adapter[LORAC_MAX_STACK]; // borrowed
    float factor[LORAC_MAX_STACK];
};
/* Full copies stand in for the base's tensors: they neither scale nor add up. A factor other than 1
 * on an adapter that has some, or two copies of one tensor, is LORAC_EUSER with the module's name.
 */
LORAC_MUST_CHECK enum lorac_status lorac_stack_check(const struct lorac_stack *s,
                                                     struct lorac_err *err);
/* `s` must outlive the socket and pass lorac_stack_check(). */
struct lorac_socket lorac_stack_socket(struct lorac_stack *s);

/* Several adapters in one batch, each for rows of its own: a segment's `adapter` says which, from 1
 * on, 0 the bare base. The base's products are computed once for all rows, what adapters add by
 * runs of rows; put segments of one adapter beside each other. For inference.
 *
 * Full copies stand in for the base's tensors in all rows: a batch for an adapter that has some is
 * that adapter's alone, which `whole` names before the pass. */
struct lorac_mix {
    const struct lorac_adapter *const *adapter; // (n) borrowed; of segment.adapter 1 .. n, or NULL
    size_t n;
    const struct lorac_adapter *whole; // of the next batches, all their segments; or NULL
};
/* `x` must outlive the socket. Where its adapters change, lorac_pass_use() makes room for them. */
struct lorac_socket lorac_mix_socket(struct lorac_mix *x);
/* 64 hexadecimal digits that follow from what an adapter does, not from its name: the SHA-256 of
 * its method, modules, scales and values. */
LORAC_MUST_CHECK enum lorac_status lorac_adapter_content(char out[65],
                                                         const struct lorac_adapter *a,
                                                         struct lorac_err *err);

/* ---- files: PEFT's adapter_config.json + adapter_model.safetensors ---- */

/* What the adapter in the folder `dir` needs its model opened for: out->task, and out->labels, K of
 * its head, or 0; the rest of `out` stays. A task without its head, and a head without a task, are
 * LORAC_EFORMAT. */
LORAC_MUST_CHECK enum lorac_status lorac_peft_task(struct lorac_model_options *out, const char *dir,
                                                   struct lorac_err *err);
/* Write the folder `dir` (atomically: a temporary folder, then a rename), then read it back and
 * compare every value. `base_name` becomes base_model_name_or_path. dtype: LORAC_F32 or LORAC_BF16.
 * A folder that exists is replaced only if it holds nothing but the files of an adapter. */
LORAC_MUST_CHECK enum lorac_status lorac_peft_save(const char *dir, const struct lorac_adapter *a,
                                                   const char *base_name, enum lorac_dtype dtype,
                                                   struct lorac_err *err);
/* Read a PEFT folder for this model. Every tensor must be used and every module complete; a key of
 * the config that is not understood and not at its default is refused by name, as is a head of
 * another task or with another number of labels than the model was opened for; another base's
 * fingerprint, and a rank or alpha pattern that fits no adapted module, are LORAC_EUSER unless
 * `force`, and nothing else is. */
LORAC_MUST_CHECK enum lorac_status lorac_peft_load(struct lorac_adapter **out,
                                                   const struct lorac_model *m, const char *dir,
                                                   bool force, struct lorac_err *err);

/* ---- merging ---- */

struct lorac_merge_options {
    const enum lorac_dtype *dtype; // of all tensors, in config.json, too; NULL: each keeps its own
    /* What the finished folder has to pass before it gets its name; NULL: nothing more. `dir` is
     * where it is until then. A failure is lorac_merge()'s. */
    enum lorac_status (*check)(void *self, const char *dir, struct lorac_err *err);
    /* Heard before each tensor, `done` of them all, 0 to 1; false ends it: LORAC_ESTOP. Or NULL. */
    bool (*progress)(void *self, double done);
    void *self;
};
/* Write the checkpoint folder `out`: W + sum factor s B A in float32, W the base's or the full copy
 * of it, rounded once, to nearest even, to the tensor's type; shards, names and metadata kept;
 * config, tokenizer and generation files copied, and what sentence-transformers has beside a model
 * (1_Pooling). A tied pair that is two matrices now is stored as two, and config.json says so. It
 * is built beside `out`, read back and compared, and only then gets that name, which must not exist
 * or be an empty folder; on failure nothing is left (all of it is where only the last sync of its
 * parent failed). options: NULL for none. */
LORAC_MUST_CHECK enum lorac_status lorac_merge(const char *out, const struct lorac_model *m,
                                               const struct lorac_stack *adapters,
                                               const struct lorac_merge_options *options,
                                               struct lorac_err *err);

/* Bytes of memory that merging takes, beside the mapped files that it writes and reads back. */
size_t lorac_merge_bytes(const struct lorac_model *m, const struct lorac_stack *adapters);

/* ---- optimisers and schedules ---- */

struct lorac_optim_options {
    const char *name; // "adamw", "sgd": a row of the table
    double lr, beta1, beta2, eps, momentum;
    double weight_decay;   // of matrices
    double vector_decay;   // of norms' gains and biases
    double lr_ratio_b;     // LoRA+: rate of B, and of vectors, over lr; 0: 1
    double clip_norm;      // 0: no clipping
    const char *schedule;  // "constant", "linear", "cosine": a row of their table; NULL: constant
    size_t warmup;         // steps
    size_t steps;          // of the whole run
    double final_lr_ratio; // lr at the end / lr
};
/* What a recipe says that says nothing, but for the warm-up, which is a share of the steps there
 * and none here: AdamW at 5e-4 with betas 0.9 and 0.999, clipped to 1, on half a cosine to 0. */
struct lorac_optim_options lorac_optim_options_default(void);
/* The tables' names, in their order; NULL after the last. */
const char *lorac_optim_name(size_t i);
const char *lorac_schedule_name(size_t i);
/* Does this optimiser read the option ("betas", "eps", "momentum")? True for what all read. */
bool lorac_optim_reads(const char *name, const char *option);
/* Does the rate fall to final_lr_ratio? False for "constant". */
bool lorac_schedule_falls(const char *name);
/* Learning rate of step 0 .. steps-1: linear from lr/warmup to lr over the warmup steps, then
 * constant, linear or half a cosine down to lr final_lr_ratio (as transformers'
 * get_*_schedule_with_warmup, which starts at 0: here step 0 already moves). */
double lorac_schedule_lr(const struct lorac_optim_options *o, size_t step);

struct lorac_optim; // moments in one block
/* An adapter without gradients (lorac_adapter_reserve) is LORAC_EUSER. */
LORAC_MUST_CHECK enum lorac_status lorac_optim_new(struct lorac_optim **out,
                                                   struct lorac_adapter *a,
                                                   const struct lorac_optim_options *o,
                                                   struct lorac_err *err);
void lorac_optim_free(struct lorac_optim *o);
/* One step: gradients (of a sum over trained tokens) are divided by `weight`, what all of these
 * weigh together, clipped by their global norm, applied and zeroed. *norm: before clipping. A
 * weight that is not above 0, and NaN or infinity anywhere, are LORAC_EUSER and nothing has
 * changed. */
LORAC_MUST_CHECK enum lorac_status lorac_optim_step(struct lorac_optim *o, double weight,
                                                    double *norm, struct lorac_err *err);
size_t lorac_optim_steps(const struct lorac_optim *o);   // done so far
double lorac_optim_next_lr(const struct lorac_optim *o); // of the step to come
/* State for resuming: `n` blocks of floats (the moments), each as long as the parameters. */
size_t lorac_optim_blocks(const struct lorac_optim *o);
size_t lorac_optim_blocks_of(
    const char *name); // of an optimiser of the table; 0: there is none such
const char *lorac_optim_block_name(const struct lorac_optim *o, size_t i); // "m", "v"
float *lorac_optim_block(struct lorac_optim *o, size_t i);                 // device memory
void lorac_optim_set_steps(struct lorac_optim *o, size_t steps);

LORAC_API_END

#endif
