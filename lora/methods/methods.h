/*
 * methods.h - the table of methods: what an adapter does to the linear layers that it sits on.
 * Inside lora/ only. To add one is a file beside this one and a line of LORAC_METHODS.
 */
#ifndef LORAC_LORA_METHODS_METHODS_H
#define LORAC_LORA_METHODS_METHODS_H

#include "lora/lora.h"

/* One tensor of a site. */
struct lorac_shape {
    size_t n_dims, dims[2]; // in PEFT's file
    bool turned;            // in memory it lies as (dims[1],dims[0])
    bool vector;            // it lies behind the matrices, and decays as vectors do
};
size_t lorac_shape_floats(const struct lorac_shape *shape);

/* What is left of a site in a merged model:  W' = rows (W + s B A) columns,  b' = rows b.
 * rows (OC) and columns (C) multiply those of the matrix; device memory, NULL: ones. */
struct lorac_merged {
    bool product; // s B A is there: tensors 0 and 1 of the site
    const float *rows, *columns;
    bool bias; // the rows of b, too
};

struct lorac_method {
    const char *name;      // in recipes
    const char *title;     // in texts for people
    const char *peft_type; // in adapter_config.json
    const char *peft_flag; // its key that is true for this method and for no other of the type
    const char *peft_keys; // keys that the type has beside those of all: "|a|b|"; NULL: LoRA's
    const char *idle_text; // of an adapter that changes nothing: "every B is zero"
    bool ranked;           // has rank, alpha, scaling, dropout, init, overrides
    bool inputs;           // adapts some modules at their input (feedforward)
    bool vectors;          // some of its tensors are (optimizer.vector_decay)
    bool adds;             // several may sit on one module and add up, each with a factor

    const char
        *tensor[LORAC_SITE_TENSORS]; // behind the module's name in PEFT's file; NULL: no more;
                                     // without one no module has a site
    struct lorac_shape (*shape)(const struct lorac_site *s, size_t k);
    /* Values of a fresh site i, whose parameters are zero, after `derive`. */
    enum lorac_status (*init)(struct lorac_adapter *a, size_t i, uint64_t seed,
                              struct lorac_err *err);
    bool (*idle)(const struct lorac_adapter *a, const struct lorac_site *s); // changes nothing
    void (*merged)(struct lorac_merged *out, const struct lorac_site *s);

    /* What follows from the parameters and the base's weights, and need not be worked out a batch:
     * floats of it, and of scratch for it; NULL: nothing. `first`: none of it is there yet. */
    size_t (*derived_floats)(const struct lorac_site *s);
    size_t (*deriving_floats)(const struct lorac_site *s);
    enum lorac_status (*derive)(const struct lorac_adapter *a, const struct lorac_site *s,
                                float *scratch, bool first, struct lorac_err *err);

    /* At the socket (base/model.h). */
    size_t (*saved_floats)(const struct lorac_site *s, size_t N);
    size_t (*scratch_floats)(const struct lorac_site *s, size_t N);
    void (*forward)(const struct lorac_adapter *a, const struct lorac_site *s, float *y,
                    const float *x, const struct lorac_linear *l);
    void (*backward)(const struct lorac_adapter *a, const struct lorac_site *s, float *dx,
                     const float *dy, const float *x, const struct lorac_linear *l);
};

/* The table: one line a method, in the order of a recipe's words. */
// clang-format off
#define LORAC_METHODS(ROW) \
    ROW(lora) \
    ROW(dora) \
    ROW(ia3) \
    ROW(none) \
    /* one more line, one more method */
// clang-format on

#define LORAC_METHOD_ROW(name) extern const struct lorac_method lorac_method_##name;
LORAC_METHODS(LORAC_METHOD_ROW)
#undef LORAC_METHOD_ROW
extern const struct lorac_method *const lorac_methods[];        // in that order, then NULL
const struct lorac_method *lorac_method_find(const char *name); // NULL: LoRA's, or there is none

/* ---- full.c: modules trained in full, whose tensors stand in for the base's ---- */

extern const struct lorac_method lorac_method_full; // runs where no other method does; s is NULL
void lorac_full_bias_backward(const struct lorac_adapter *a, size_t m, const float *dy, size_t N);
void lorac_full_norm_backward(const struct lorac_adapter *a, size_t m, const float *dy,
                              const float *x, size_t N, float eps);
void lorac_full_embed_backward(const struct lorac_adapter *a, size_t m, const float *dy,
                               const int32_t *ids, size_t N);
/* Does module m carry a pair, or tensors that stand in for the base's? */
bool lorac_adapter_holds(const struct lorac_adapter *a, size_t m);
/* Is it still what the base has? */
bool lorac_full_is_idle(const struct lorac_adapter *a, const struct lorac_full *f);

/* ---- for methods ---- */

/* drop(x) (N,C): x itself where nothing is dropped, otherwise in `to`. */
bool lorac_site_drops(const struct lorac_adapter *a, const struct lorac_site *s,
                      const struct lorac_linear *l);
const float *lorac_site_dropped(float *to, const struct lorac_adapter *a,
                                const struct lorac_site *s, const float *x,
                                const struct lorac_linear *l);
/* The site's random A. */
enum lorac_status lorac_site_init_a(struct lorac_adapter *a, size_t i, uint64_t seed,
                                    struct lorac_err *err);

#endif
