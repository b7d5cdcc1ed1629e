/*
 * recipe.h - a recipe: everything a run needs to know, read from YAML into one typed struct.
 *
 * One table (schema.c) holds every key: path, type, place in the struct, range, default, help.
 * Reading, defaults, the resolved recipe, explain, the JSON Schema and the commented template all
 * come from it. The key decides the type, never the look of the text: `1e-5` is a number where a
 * number belongs, and `no`, `null`, `1.10`, `007` stay text where text belongs.
 *
 * Reading is strict and reports all errors of a file in one pass, each with line and column. Later
 * layers win: defaults, then the `extends` file, then the recipe, then --set and --unset in order.
 *
 * A recipe owns everything it points to (one arena); lorac_recipe_free() releases all of it. It is
 * immutable once read. Paths in it are absolute.
 */
#ifndef LORAC_RECIPES_RECIPE_H
#define LORAC_RECIPES_RECIPE_H

#include "base/core/buf.h"
#include "base/core/err.h"
#include "datasets/datasets.h"
#include "lora/lora.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

LORAC_API_BEGIN

enum {
    LORAC_RECIPE_VERSION = 1,
    LORAC_RECIPE_MAX_BYTES = 1 << 20, // of a file, and of the resolved recipe
    LORAC_RECIPE_MAX_ERRORS = 100,
};

/* Choices that only recipes have. Their numbers are their positions in the table's list of words.
 */
enum lorac_recipe_data_kind { LORAC_RECIPE_DATA_TABLE, LORAC_RECIPE_DATA_TEXT };
enum lorac_recipe_template { LORAC_RECIPE_TEMPLATE_TEXT, LORAC_RECIPE_TEMPLATE_CHAT };
enum lorac_recipe_activations {
    LORAC_RECIPE_ACTIVATIONS_AUTO,
    LORAC_RECIPE_ACTIVATIONS_ALL,
    LORAC_RECIPE_ACTIVATIONS_LAYERS, // keep each layer's input, recompute inside the layer
};
enum lorac_recipe_cache { LORAC_RECIPE_CACHE_OFF, LORAC_RECIPE_CACHE_AUTO, LORAC_RECIPE_CACHE_ON };
enum lorac_recipe_keep { LORAC_RECIPE_KEEP_BEST, LORAC_RECIPE_KEEP_LAST };
enum lorac_recipe_dtype { LORAC_RECIPE_DTYPE_FLOAT32 };
enum lorac_recipe_log {
    LORAC_RECIPE_LOG_TERMINAL,
    LORAC_RECIPE_LOG_CSV,
    LORAC_RECIPE_LOG_TENSORBOARD,
};

struct lorac_recipe_list {
    char **at;
    size_t n;
};
struct lorac_recipe_pair {
    char *key, *value;
};
struct lorac_recipe_map { // in the order of the file
    struct lorac_recipe_pair *at;
    size_t n;
};
struct lorac_recipe_targets {
    enum {
        LORAC_RECIPE_TARGETS_ALL_LINEAR,
        LORAC_RECIPE_TARGETS_LIST,
        LORAC_RECIPE_TARGETS_REGEX
    } kind;
    struct lorac_recipe_list names; // LIST: name suffixes, at least one
    char *regex;                    // REGEX: compiles; matches the whole module name
};
struct lorac_recipe_modules {
    bool all;                       // every module
    struct lorac_recipe_list names; // otherwise those with these name ends
};
struct lorac_recipe_layers {
    enum {
        LORAC_RECIPE_LAYERS_ALL,
        LORAC_RECIPE_LAYERS_LAST,  // the last `last`
        LORAC_RECIPE_LAYERS_LIST,  // at[0..n), no two equal
        LORAC_RECIPE_LAYERS_RANGE, // first to to, both included
    } kind;
    size_t last, first, to;
    size_t *at;
    size_t n;
};
struct lorac_recipe_weights { // of labels
    bool balanced;            // as rare as they are; or
    struct {
        char *label;
        double weight; // above 0
    } * at;            // (n) those of these, 1 the others'
    size_t n;
};
struct lorac_recipe_overrides { // the first that matches wins
    struct lorac_override *at;
    size_t n;
};
struct lorac_recipe_split {
    enum { LORAC_RECIPE_SPLIT_NONE, LORAC_RECIPE_SPLIT_PATH, LORAC_RECIPE_SPLIT_FRACTION } kind;
    struct lorac_recipe_list paths; // PATH: one, or several texts
    double fraction;                // of the training rows, in (0,1)
    char *stratify;                 // a column, or NULL
};
struct lorac_recipe_amount { // steps, or a share of all steps
    bool is_percent;
    size_t steps;
    double percent; // 0 to 100
};
struct lorac_recipe_interval {
    enum { LORAC_RECIPE_EVERY_STEPS, LORAC_RECIPE_EVERY_EPOCHS, LORAC_RECIPE_EVERY_END } unit;
    size_t steps;  // EVERY_STEPS
    double epochs; // EVERY_EPOCHS, above 0
};

struct lorac_recipe {
    size_t version;
    char *name;
    uint64_t seed;
    struct {
        char *path;
        char *given; // what was written, where path is another folder, or none: a Hub id, a cache's
                     // folder
        const char *compute; // lorac_compute_find(); NULL: float32
        size_t max_length;   // tokens
    } model;
    struct {
        const char *method; // a row of their table (lora.h)
        size_t rank;
        double alpha;
        enum lorac_scaling scaling;
        double dropout;
        enum lorac_lora_init init;
        char *from;  // NULL: none
        char *given; // as of model.path
        struct lorac_recipe_targets targets;
        struct lorac_recipe_list exclude;
        struct lorac_recipe_list feedforward;
        struct lorac_recipe_layers layers;
        enum lorac_bias bias;
        struct lorac_recipe_overrides overrides;
        struct lorac_recipe_modules train_also;
        enum lorac_tie tie;
    } adapter;
    struct {
        enum lorac_recipe_data_kind kind;
        struct lorac_recipe_list train; // paths: one table, or texts
        struct lorac_recipe_split valid;
        struct lorac_recipe_list test; // none: n is 0
        char *separator;               // of documents; NULL: a file is one
        struct {
            enum lorac_table_kinds kind;
            char delimiter, quote; // ASCII
            bool header;
            enum lorac_encoding encoding;
        } format;
        struct lorac_recipe_map columns; // template variable -> column name or 1-based number
        struct {
            char *column;                // of a head's targets; NULL: there is no head
            char *separator;             // of several labels in a cell
            struct lorac_recipe_map map; // empty: free text
            enum lorac_on_bad unknown;
        } labels;
        enum lorac_on_bad on_empty;
        enum lorac_on_long on_too_long;
        enum lorac_on_duplicate duplicates;
    } data;
    struct {
        enum lorac_recipe_template kind;
        const char *system, *prompt, *completion; // NULL: none
        const char *pair;                         // of a head: the second text; NULL: none
        const char *date;                         // "2026-11-29"; NULL: none
        bool append_eos;
        enum lorac_train_on train_on;
    } templates; // the section "template": the word is C++'s
    struct {
        unsigned kind; // a row of lorac_objectives
        struct lorac_recipe_weights class_weights;
        double label_smoothing;
        double mask_share; // of the tokens
    } objective;
    struct {
        size_t epochs, steps;            // exactly one is not 0
        size_t batch_tokens, batch_size; // exactly one is not 0
        size_t accumulate;
        bool shuffle;
        size_t threads; // 0: auto
        enum lorac_recipe_activations keep_activations;
        enum lorac_share share_prefix;
        enum lorac_recipe_cache cache_frozen_prefix;
        struct {
            double loss_above; // 0: none
            size_t patience;
        } watchdog;
    } train;
    struct {
        const char *name; // a row of the table of optimisers
        double lr;
        double lr_ratio_b; // of B's over lr
        double betas[2];
        double eps;
        double momentum;
        double weight_decay;  // of matrices
        double vector_decay;  // of norms' gains and biases
        double clip_norm;     // 0: no clipping
        const char *schedule; // a row of the table of schedules
        struct lorac_recipe_amount warmup;
        double final_lr_ratio;
    } optimizer;
    struct {
        struct lorac_recipe_interval every;
        unsigned metrics; // bit m: enum lorac_metric m
        unsigned best;    // 0: auto; otherwise enum lorac_metric + 1
        double threshold; // of a head's answers
        size_t samples;
        struct {
            unsigned metric; // 0: no early stop; otherwise enum lorac_metric + 1
            size_t patience;
            double min_delta;
        } early_stop;
    } eval;
    struct {
        char *dir;
        struct lorac_recipe_interval save_every;
        unsigned keep; // bits: enum lorac_recipe_keep
        enum lorac_recipe_dtype dtype;
        unsigned log; // bits: enum lorac_recipe_log
        bool merge;
    } output;
    struct lorac_arena *arena; // owns all of the above
};

/* All that is wrong with a recipe, in the order of the file. Zeroed = empty; _free releases. */
struct lorac_recipe_error {
    char *text;          // "sentiment.yaml:14:3: adapter.rank: ..."
    size_t line, column; // from 1; 0 where the error has no place in a file
    size_t layer;        // 0 the extended file, 1 the recipe, 2.. the --set options
};
struct lorac_recipe_errors {
    struct lorac_recipe_error *at;
    size_t n, cap;
};
void lorac_recipe_errors_free(struct lorac_recipe_errors *errors);

/* One --set KEY=VALUE or --unset KEY of the command line. */
struct lorac_recipe_set {
    const char *text; // "adapter.rank=4", or "adapter.rank" where `unset`
    bool unset;
};

/* Read the recipe at `path`, apply `sets` in order. A recipe that is wrong gives LORAC_EUSER, all
 * that is wrong in `errors` (may be NULL) and the first of it in `err`. */
LORAC_MUST_CHECK enum lorac_status lorac_recipe_open(struct lorac_recipe **out, const char *path,
                                                     const struct lorac_recipe_set *sets,
                                                     size_t n_sets,
                                                     struct lorac_recipe_errors *errors,
                                                     struct lorac_err *err);
/* The same from `n` bytes of memory. `name` is what messages call it; relative paths start at
 * `folder`. With `folder` NULL they start at the current folder and `extends` is refused. */
LORAC_MUST_CHECK enum lorac_status lorac_recipe_parse(
    struct lorac_recipe **out, const char *text, size_t n, const char *name, const char *folder,
    const struct lorac_recipe_set *sets, size_t n_sets, struct lorac_recipe_errors *errors,
    struct lorac_err *err);
void lorac_recipe_free(struct lorac_recipe *recipe); // NULL is accepted

/* Append the resolved recipe: every key with its value, in the order of the table. Reading it gives
 * the same struct, and resolving that the same bytes. Check buf->no_memory. */
void lorac_recipe_resolved(struct lorac_buf *buf, const struct lorac_recipe *recipe);
/* Write it to `path`, after having read it back from memory and compared. */
LORAC_MUST_CHECK enum lorac_status lorac_recipe_write(const struct lorac_recipe *recipe,
                                                      const char *path, struct lorac_err *err);
/* Append a line "KEY: VALUE of a -> VALUE of b" for each key that differs; nothing where equal. */
void lorac_recipe_diff(struct lorac_buf *buf, const struct lorac_recipe *a,
                       const struct lorac_recipe *b);

/* Does only training read this key, "optimizer.lr"? False for what is no key. */
bool lorac_recipe_only_trains(const char *key);

/* Append the help of one key, of all keys of a section, or (NULL) of the whole table, and that of
 * sweeps. An unknown key is LORAC_EUSER with a suggestion. */
LORAC_MUST_CHECK enum lorac_status lorac_recipe_explain(struct lorac_buf *buf, const char *key,
                                                        struct lorac_err *err);
/* The i-th key that a recipe may have, "adapter.rank"; NULL behind the last. */
const char *lorac_recipe_key(size_t i);
/* The k-th word that may stand at it, where it is a choice; NULL behind the last. */
const char *lorac_recipe_key_word(size_t i, size_t k);
/* Append a JSON Schema (draft 2020-12) for editors. It is more lenient than the reader where JSON
 * Schema cannot say what the table says. */
void lorac_recipe_schema_json(struct lorac_buf *buf);
/* Append a commented recipe with all keys and their defaults; those without one are commented out.
 */
void lorac_recipe_template(struct lorac_buf *buf);

LORAC_API_END

#endif
