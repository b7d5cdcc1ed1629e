/*
 * match_full.c - which modules train in full: PEFT's modules_to_save and bias.
 *
 * (huggingface/peft: utils/other.py, _set_trainable.) PEFT wraps every module whose name ends with
 * an entry, a dot before it or not: `norm` takes input_layernorm, too. An entry that names a block
 * takes all that is in it. A recipe must say what it means: its entries are whole components of
 * names, and one by which PEFT would take more is refused.
 */
#include "lora/match.h"

#include "lora/nearest.h"

#include <stdio.h>
#include <string.h>

enum { NAME = LORAC_MODULE_NAME };

bool lorac_ends_with(const char *name, const char *end)
{
    size_t n = strlen(name);
    size_t k = strlen(end);
    return n >= k && strcmp(name + n - k, end) == 0;
}

bool lorac_is_suffix(const char *name, const char *entry)
{
    size_t n = strlen(name);
    size_t k = strlen(entry);
    return k > 0 && lorac_ends_with(name, entry) && (n == k || name[n - k - 1] == '.');
}

/* ---- lists of names for messages ---- */

struct names {
    char text[320];
    size_t used, n;
};

static void add_name(struct names *list, const char *name)
{
    size_t left = sizeof list->text - list->used;
    size_t n = strlen(name);
    for (const char *at = list->text; *at; at += strspn(at, ", ")) {
        size_t k = strcspn(at, ",");
        if (k == n && memcmp(at, name, n) == 0) { return; }
        at += k;
    }
    bool fits = n + sizeof ", ..." < left;
    if (!fits && lorac_ends_with(list->text, "...")) { return; }
    int k =
        snprintf(list->text + list->used, left, "%s%s", list->n ? ", " : "", fits ? name : "...");
    list->used += k > 0 ? (size_t)k : 0;
    list->n++;
}

static const char *last_component(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

/* ---- one entry ---- */

/* What an entry is to a model. */
struct fit {
    size_t hits;        // modules that it names
    struct names named; // these, in full
    struct names
        swallowed;       // last components of modules that PEFT takes although it doesn't name them
    char first[NAME];    // the first of those, in full
    struct names within; // modules of the block that it names
};

/* The block around `name` that ends with `entry`, as the length of its name; 0: there is none. */
static size_t block_around(const char *name, const char *entry, bool dotted)
{
    char block[NAME];
    for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.')) {
        (void)snprintf(block, sizeof block, "%.*s", (int)(dot - name), name);
        if (dotted ? lorac_is_suffix(block, entry) : lorac_ends_with(block, entry)) {
            return (size_t)(dot - name);
        }
    }
    return 0;
}

static void fit_module(struct fit *f, const char *name, const char *entry)
{
    size_t block = block_around(name, entry, true);
    if (lorac_is_suffix(name, entry)) {
        f->hits++;
        add_name(&f->named, name);
    } else if (block) {
        add_name(&f->within, name + block - strlen(entry));
    } else if (lorac_ends_with(name, entry) || block_around(name, entry, false)) {
        if (!f->swallowed.n) { (void)snprintf(f->first, sizeof f->first, "%s", name); }
        add_name(&f->swallowed, last_component(name));
    }
}

static enum lorac_status check_fit(const struct fit *f, const struct lorac_model *m,
                                   const char *entry, const struct lorac_match_words *w,
                                   struct lorac_err *err)
{
    if (f->within.n) {
        return lorac_fail(err, w->code, "%s: '%.100s' is a block; write the modules in it: %s",
                          w->train_also, entry, f->within.text);
    }
    if (f->swallowed.n && f->hits) {
        return lorac_fail(err, w->code,
                          "%s: '%.100s' is too much: PEFT compares bare ends of names and would "
                          "take '%s' by it, too; write %s",
                          w->train_also, entry, f->first, f->named.text);
    }
    if (f->swallowed.n) {
        return lorac_fail(err, w->code,
                          "%s: '%.100s' is too much: PEFT compares bare ends of names and would "
                          "take %s by it; write those you mean",
                          w->train_also, entry, f->swallowed.text);
    }
    if (f->hits) { return LORAC_OK; }
    char near[256];
    lorac_nearest_modules(near, sizeof near, m, true, entry);
    return lorac_fail(err, w->code, "%s: '%.100s' matches no module; the nearest are %s",
                      w->train_also, entry, near);
}

static enum lorac_status check_entries(const struct lorac_model *m,
                                       const struct lorac_adapter_options *o,
                                       const struct lorac_match_words *w, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < o->n_train_also && !st; i++) {
        struct fit f = {.hits = 0};
        for (size_t k = 0; k < m->n_modules; k++) {
            fit_module(&f, m->module[k].name, o->train_also[i]);
        }
        st = check_fit(&f, m, o->train_also[i], w, err);
    }
    return st;
}

/* ---- the whole ---- */

bool lorac_is_taken(const char *name, const char *entry)
{
    return lorac_ends_with(name, entry) || block_around(name, entry, false);
}

/* PEFT's rule; checked entries take the same modules by it as by whole components. The head of a
 * task trains whatever a recipe says, and so does what the files lack; a file of PEFT's names both.
 */
static bool is_taken(const struct lorac_adapter_options *o, const struct lorac_module *module,
                     bool recipe)
{
    const char *name = module->name;
    bool taken = o->train_all || (recipe && (module->is_head || module->fresh));
    for (size_t i = 0; i < o->n_train_also && !taken; i++) {
        taken = lorac_is_taken(name, o->train_also[i]);
    }
    return taken;
}

/* A tied pair: whether it stays one matrix must be said where it matters, and only there. */
static enum lorac_status settle_tie(struct lorac_match *out, const struct lorac_model *m,
                                    const struct lorac_adapter_options *o,
                                    const struct lorac_match_words *w, struct lorac_err *err)
{
    bool tied = lorac_model_is_tied(m);
    struct lorac_match *embed = &out[m->embed];
    struct lorac_match *head = tied ? &out[m->head] : NULL;
    bool matters = tied && (embed->weight || head->weight);
    if (matters && o->tie == LORAC_TIE_KEEP) { embed->weight = head->weight = true; }
    if (!w->strict || matters == (o->tie != LORAC_TIE_UNSET)) { return LORAC_OK; }
    if (matters) {
        return lorac_fail(err, w->code,
                          "%s: missing: embedding and output of the base are one matrix, and %s "
                          "takes '%s'; write keep (they stay one, which trains for both) or untie "
                          "(each goes its own way)",
                          w->tie, w->train_also,
                          m->module[embed->weight ? m->embed : m->head].name);
    }
    return lorac_fail(err, w->code, "%s: has no effect: %s; leave it out", w->tie,
                      tied ? "neither the embedding nor the output trains in full"
                           : "the base's embedding and output are two matrices");
}

enum lorac_status lorac_match_full(struct lorac_match *out, const struct lorac_model *m,
                                   const struct lorac_adapter_options *o,
                                   const struct lorac_match_words *words, struct lorac_err *err)
{
    if (words->strict) {
        enum lorac_status st = check_entries(m, o, words, err);
        if (st) { return st; }
    }
    for (size_t k = 0; k < m->n_modules; k++) {
        const struct lorac_module *module = &m->module[k];
        bool taken = is_taken(o, module, words->strict);
        out[k] = (struct lorac_match){
            .weight = taken && module->role != LORAC_ROLE_NORM,
            .vector = taken && module->n,
        };
    }
    return settle_tie(out, m, o, words, err);
}

enum lorac_status lorac_match_biases(struct lorac_match *out, const struct lorac_model *m,
                                     const struct lorac_adapter_options *o,
                                     const struct lorac_match_words *words, struct lorac_err *err)
{
    bool all = o->bias == LORAC_BIAS_ALL;
    size_t found = 0;
    if (o->bias == LORAC_BIAS_NONE) { return LORAC_OK; }
    for (size_t k = 0; k < m->n_modules; k++) {
        const struct lorac_module *module = &m->module[k];
        bool shift = all && module->role == LORAC_ROLE_NORM && lorac_config_shifts(&m->config);
        bool bias = lorac_module_is_linear(module) && module->n;
        if (!shift && (!bias || (!all && out[k].rank == 0))) { continue; }
        out[k].shift = shift && !out[k].vector; // what trains in full does so with its gain
        out[k].vector = true;
        found++;
    }
    if (found || !words->strict) { return LORAC_OK; }
    return lorac_fail(err, words->code,
                      all ? "%s: all, but no module of the base has a bias"
                          : "%s: lora_only, but no module with an adapter has a bias",
                      words->bias);
}
