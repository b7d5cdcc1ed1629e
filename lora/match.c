/*
 * match.c - which modules get an adapter: PEFT's rules.
 *
 * (huggingface/peft: tuners/tuners_utils.py, check_target_module_exists; utils/other.py,
 * match_target_against_key and get_pattern_key.) For a module name, in this order:
 *   exclude    equal, or ends with "." + entry: no
 *   regex      must match the whole name
 *   targets    equal: yes, whatever `layers` says; or ends with "." + entry
 *   neither    every linear layer but lm_head
 *   layers     the number that stands as a component after two others; names without one don't
 *              match
 * A module that trains in full (match_full.c) gets no pair.
 * Unlike PEFT, `layers` also filters what a regex or all-linear gives (PEFT refuses the
 * combination).
 */
#include "lora/match.h"

#include "base/core/mem.h"
#include "lora/nearest.h"
#include "lora/pattern.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { MAX_RANK = 4096, FITS = 1, USED = 2, COVERED = 4 };

struct matcher {
    const struct lorac_model *model;
    const struct lorac_adapter_options *o;
    const struct lorac_match_words *words;
    struct lorac_pattern *regex;      // or NULL
    struct lorac_pattern **overrides; // (n_overrides)
    // For each entry of the options: FITS: a module bears that name; USED: and one is adapted for
    // it; COVERED: and one trains in full.
    unsigned char *targets, *exclude, *layers, *ranks; // parts of `marks`; ranks: of overrides
    unsigned char *marks;
    unsigned char regex_mark;
};

/* Layer number of a module name: PEFT's ".*?\.[^.]*\.(\d+)\." at the name's start. */
static bool layer_of(size_t *layer, const char *name)
{
    size_t component = 0;
    for (const char *s = name; *s; component++) {
        size_t n = strcspn(s, ".");
        size_t digits = strspn(s, "0123456789");
        if (component >= 2 && digits == n && n > 0 && n < 10 && s[n] == '.') {
            *layer = 0;
            for (size_t i = 0; i < n; i++) {
                *layer = *layer * 10 + (size_t)(s[i] - '0');
            }
            return true;
        }
        s += s[n] == '.' ? n + 1 : n;
    }
    return false;
}

static bool layer_allowed(const struct lorac_adapter_options *o, const char *name)
{
    size_t layer = 0;
    if (!o->layers) { return true; }
    bool found = false;
    if (layer_of(&layer, name)) {
        for (size_t i = 0; i < o->n_layers; i++) {
            found = found || o->layers[i] == layer;
        }
    }
    return found;
}

static enum lorac_status fits_pattern(bool *fits, const struct lorac_pattern *p, const char *name,
                                      const char *place, struct lorac_err *err)
{
    enum lorac_status st = lorac_pattern_fits(fits, p, name, err);
    if (st) { lorac_err_prefix(err, "%s: ", place); }
    return st;
}

static bool is_excluded(struct matcher *k, const char *name)
{
    bool yes = false;
    for (size_t i = 0; i < k->o->n_exclude; i++) {
        if (lorac_is_suffix(name, k->o->exclude[i])) {
            k->exclude[i] = FITS | USED;
            yes = true;
        }
    }
    return yes;
}

/* covered: the module trains in full. */
static enum lorac_status is_target(bool *yes, struct matcher *k, const struct lorac_module *module,
                                   bool covered, struct lorac_err *err)
{
    const struct lorac_adapter_options *o = k->o;
    const char *name = module->name;
    bool excluded = is_excluded(k, name) || covered;
    bool allowed = layer_allowed(o, name);
    *yes = false;
    if (o->regex) {
        bool fits = false;
        enum lorac_status st = fits_pattern(&fits, k->regex, name, k->words->targets, err);
        if (st) { return st; }
        if (fits) { k->regex_mark |= FITS; }
        *yes = fits && allowed && !excluded;
    } else if (o->n_targets == 0) {
        *yes = module->role != LORAC_ROLE_HEAD && allowed && !excluded;
    }
    for (size_t i = 0; i < o->n_targets && !o->regex; i++) {
        if (!lorac_is_suffix(name, o->targets[i])) { continue; }
        bool equal = strcmp(name, o->targets[i]) == 0;
        k->targets[i] |= covered ? FITS | COVERED : FITS;
        if ((equal || allowed) && !excluded) {
            k->targets[i] |= USED;
            *yes = true;
        }
    }
    size_t layer = 0;
    for (size_t i = 0; *yes && o->layers && i < o->n_layers; i++) {
        if (layer_of(&layer, name) && o->layers[i] == layer) { k->layers[i] = FITS | USED; }
    }
    return LORAC_OK;
}

/* Rank and alpha of an adapted module: each from the first override that fits and has one. */
static enum lorac_status settle(struct lorac_match *out, struct matcher *k, const char *name,
                                struct lorac_err *err)
{
    const struct lorac_adapter_options *o = k->o;
    for (size_t i = 0; i < o->n_overrides; i++) {
        const struct lorac_override *v = &o->overrides[i];
        bool fits = false;
        enum lorac_status st = fits_pattern(&fits, k->overrides[i], name, k->words->overrides, err);
        if (st) { return st; }
        if (!fits) { continue; }
        k->ranks[i] |= FITS;
        if (out->rank == 0 && v->rank != 0) {
            out->rank = v->rank;
            k->ranks[i] |= USED;
        }
        if (out->alpha == 0 && v->alpha != 0) {
            out->alpha = v->alpha;
            k->ranks[i] |= USED;
        }
    }
    if (!lorac_method_reads(o->method, "rank")) {
        out->rank = 1;
        out->alpha = 1.0;
        return LORAC_OK;
    }
    if (out->rank == 0) { out->rank = o->rank; }
    if (out->alpha == 0) { out->alpha = o->alpha; }
    out->starts = o->init == LORAC_INIT_PISSA || o->init == LORAC_INIT_OLORA;
    if (out->starts) { // s = alpha / rank, or alpha / sqrt(rank), stays
        out->rank *= 2;
        out->alpha *= o->scaling == LORAC_SCALE_RSLORA ? sqrt(2.0) : 2.0;
    }
    return LORAC_OK;
}

static enum lorac_status no_module(const struct matcher *k, const char *place, const char *entry,
                                   struct lorac_err *err)
{
    char near[256];
    lorac_nearest_modules(near, sizeof near, k->model, false, entry);
    return lorac_fail(err, k->words->code, "%s: '%.100s' matches no module; the nearest are %s",
                      place, entry, near);
}

static enum lorac_status check_layers(const struct matcher *k, struct lorac_err *err)
{
    const struct lorac_adapter_options *o = k->o;
    for (size_t i = 0; o->layers && i < o->n_layers; i++) {
        if (k->layers[i]) { continue; }
        if (o->layers[i] >= k->model->config.L) {
            return lorac_fail(err, k->words->code,
                              "%s: there is no layer %zu; the model has layers 0 to %zu",
                              k->words->layers, o->layers[i], k->model->config.L - 1);
        }
        return lorac_fail(err, k->words->code, "%s: no module of layer %zu is a target",
                          k->words->layers, o->layers[i]);
    }
    return LORAC_OK;
}

/* Every override must fit a module that is adapted, and where `used` is asked for have had an
 * effect. */
static enum lorac_status check_overrides(const struct matcher *k, bool used, struct lorac_err *err)
{
    const struct lorac_match_words *w = k->words;
    for (size_t i = 0; i < k->o->n_overrides; i++) {
        const char *entry = k->o->overrides[i].match;
        if (!k->ranks[i]) {
            char near[256];
            lorac_nearest_modules(near, sizeof near, k->model, false, entry);
            return lorac_fail(err, LORAC_EUSER,
                              "%s: '%.100s' matches no adapted module; the nearest modules are %s",
                              w->overrides, entry, near);
        }
        if (used && !(k->ranks[i] & USED)) {
            return lorac_fail(err, w->code,
                              "%s: '%.100s' is never used: earlier ones fit all that it fits",
                              w->overrides, entry);
        }
    }
    return LORAC_OK;
}

/* Every entry must have had an effect. */
static enum lorac_status check_used(const struct matcher *k, struct lorac_err *err)
{
    const struct lorac_adapter_options *o = k->o;
    const struct lorac_match_words *w = k->words;
    for (size_t i = 0; i < o->n_exclude; i++) {
        if (!k->exclude[i]) { return no_module(k, w->exclude, o->exclude[i], err); }
    }
    for (size_t i = 0; i < o->n_targets && !o->regex; i++) {
        if (!k->targets[i]) { return no_module(k, w->targets, o->targets[i], err); }
    }
    enum lorac_status st = check_layers(k, err);
    if (st) { return st; }
    for (size_t i = 0; i < o->n_targets && !o->regex; i++) {
        if (k->targets[i] & USED) { continue; }
        if (k->targets[i] & COVERED) {
            return lorac_fail(err, w->code,
                              "%s: what '%.100s' matches trains in full by %s and gets no adapter; "
                              "leave it out of one of the two",
                              w->targets, o->targets[i], w->train_also);
        }
        return lorac_fail(err, w->code, "%s: all that '%.100s' matches is left out by %s or %s",
                          w->targets, o->targets[i], w->exclude, w->layers);
    }
    return check_overrides(k, true, err);
}

static enum lorac_status nothing(const struct matcher *k, struct lorac_err *err)
{
    const struct lorac_adapter_options *o = k->o;
    if (o->regex && !k->regex_mark) { return no_module(k, k->words->targets, o->regex, err); }
    enum lorac_status st = k->words->strict ? check_used(k, err) : LORAC_OK;
    if (st) { return st; }
    return lorac_fail(err, k->words->code, "%s: no module of the model is a target%s%s",
                      k->words->targets, o->n_train_also ? " beside those of " : "",
                      o->n_train_also ? k->words->train_also : "");
}

/* With all modules trained in full nothing is left to choose. */
static enum lorac_status check_all(const struct lorac_adapter_options *o,
                                   const struct lorac_match_words *w, struct lorac_err *err)
{
    bool chooses = o->regex || o->n_targets || o->n_exclude || o->layers || o->n_overrides ||
                   o->n_train_also || o->bias != LORAC_BIAS_NONE;
    if (!chooses) { return LORAC_OK; }
    return lorac_fail(err, w->code, "%s: all leaves no module to %s, %s, %s, %s or %s",
                      w->train_also, w->targets, w->exclude, w->layers, w->overrides, w->bias);
}

/* What the method does not read. */
static enum lorac_status check_method(const struct lorac_adapter_options *o,
                                      const struct lorac_match_words *w, struct lorac_err *err)
{
    const struct {
        const char *option, *place;
        bool given;
    } all[] = {
        {"dropout", "dropout", o->dropout > 0.0},
        {"overrides", w->overrides, o->n_overrides > 0},
        {"bias", w->bias, o->bias != LORAC_BIAS_NONE},
        {"bias", w->tie, o->tie == LORAC_TIE_KEEP}, // keys that PEFT has beside each other
        {"feedforward", w->feedforward, o->n_feedforward > 0},
        {"targets", w->targets, o->regex || o->n_targets > 0},
        {"exclude", w->exclude, o->n_exclude > 0},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!all[i].given || lorac_method_reads(o->method, all[i].option)) { continue; }
        bool pairs = lorac_method_reads(o->method, "targets");
        return lorac_fail(err, w->code, "%s: %s the method %s", all[i].place,
                          pairs ? "PEFT has no such thing for" : "there are no pairs with",
                          o->method ? o->method : "lora");
    }
    return LORAC_OK;
}

static enum lorac_status check_options(const struct lorac_adapter_options *o,
                                       const struct lorac_match_words *w, struct lorac_err *err)
{
    if (o->train_all) { return check_all(o, w, err); }
    bool ranked = lorac_method_reads(o->method, "rank");
    enum lorac_status st = check_method(o, w, err);
    if (st) { return st; }
    if (ranked && (o->rank < 1 || o->rank > MAX_RANK)) {
        return lorac_fail(err, w->code, "the rank must be from 1 to %d, found %zu", MAX_RANK,
                          o->rank);
    }
    if (ranked && (!(o->alpha > 0) || !isfinite(o->alpha))) {
        return lorac_fail(err, w->code, "alpha must be above 0, found %g", o->alpha);
    }
    if (!(o->dropout >= 0.0 && o->dropout < 1.0)) {
        return lorac_fail(err, w->code, "dropout must be from 0 to below 1, found %g", o->dropout);
    }
    if (o->regex && o->n_targets) {
        return lorac_fail(err, w->code, "%s: a pattern and a list exclude each other", w->targets);
    }
    if (o->layers && o->n_layers == 0) {
        return lorac_fail(err, w->code, "%s: an empty list leaves no module", w->layers);
    }
    for (size_t i = 0; i < o->n_overrides; i++) {
        const struct lorac_override *v = &o->overrides[i];
        if (v->rank > MAX_RANK || !(v->alpha >= 0) || !isfinite(v->alpha) ||
            (v->rank == 0 && v->alpha == 0)) {
            return lorac_fail(err, w->code,
                              "%s: '%.100s' must give a rank from 1 to %d or an alpha above 0",
                              w->overrides, v->match, MAX_RANK);
        }
    }
    return LORAC_OK;
}

static enum lorac_status compile(struct matcher *k, struct lorac_err *err)
{
    const struct lorac_adapter_options *o = k->o;
    size_t n = o->n_targets + o->n_exclude + o->n_layers + o->n_overrides;
    k->marks = lorac_mem_new(n, 1);
    k->overrides = lorac_mem_new(o->n_overrides, sizeof(struct lorac_pattern *));
    if (!k->marks || !k->overrides) {
        (void)lorac_fail(err, LORAC_ENOMEM, "no memory to match %zu names", n);
        return LORAC_ENOMEM;
    }
    k->targets = k->marks;
    k->exclude = k->targets + o->n_targets;
    k->layers = k->exclude + o->n_exclude;
    k->ranks = k->layers + o->n_layers;
    const char *place = k->words->targets;
    enum lorac_status st = LORAC_OK;
    if (o->regex) { st = lorac_pattern_new(&k->regex, o->regex, LORAC_PATTERN_FULL, err); }
    for (size_t i = 0; i < o->n_overrides && !st; i++) {
        place = k->words->overrides;
        st = lorac_pattern_new(&k->overrides[i], o->overrides[i].match, LORAC_PATTERN_TAIL, err);
    }
    if (st) { lorac_err_prefix(err, "%s: ", place); }
    return st == LORAC_EUSER ? k->words->code : st;
}

/* Which of the adapted modules are adapted at their input. PEFT compares bare ends of names. */
static enum lorac_status match_inputs(struct lorac_match *out, const struct matcher *k,
                                      struct lorac_err *err)
{
    const struct lorac_adapter_options *o = k->o;
    for (size_t i = 0; i < o->n_feedforward; i++) {
        size_t found = 0;
        for (size_t m = 0; m < k->model->n_modules; m++) {
            const char *name = k->model->module[m].name;
            bool fits = k->words->strict ? lorac_is_suffix(name, o->feedforward[i])
                                         : lorac_ends_with(name, o->feedforward[i]);
            if (!fits || out[m].rank == 0) { continue; }
            out[m].input = true;
            found++;
        }
        if (found || !k->words->strict) { continue; }
        return lorac_fail(err, k->words->code,
                          "%s: '%.100s' matches no adapted module; %s names them",
                          k->words->feedforward, o->feedforward[i], k->words->targets);
    }
    return LORAC_OK;
}

static enum lorac_status match_pairs(struct lorac_match *out, struct matcher *k,
                                     struct lorac_err *err)
{
    const struct lorac_model *m = k->model;
    size_t found = 0;
    enum lorac_status st = compile(k, err);
    for (size_t i = 0; i < m->n_modules && !st; i++) {
        const struct lorac_module *l = &m->module[i];
        bool yes = false;
        if (!lorac_module_is_linear(l)) { continue; }
        st = is_target(&yes, k, l, out[i].weight, err);
        if (!st && yes) { st = settle(&out[i], k, l->name, err); }
        found += yes;
    }
    if (st == LORAC_EUSER) { st = k->words->code; } // a pattern that takes too long
    if (!st && found == 0 && !k->words->may_be_empty) { st = nothing(k, err); }
    if (!st && k->words->strict) { st = check_used(k, err); }
    if (!st && k->words->all_overrides) { st = check_overrides(k, false, err); }
    return st ? st : match_inputs(out, k, err);
}

/* Without pairs the layers that are named train in full. */
static enum lorac_status match_none(struct lorac_match *out, struct matcher *k,
                                    struct lorac_err *err)
{
    const struct lorac_adapter_options *o = k->o;
    bool found = o->bias == LORAC_BIAS_ALL;
    enum lorac_status st = compile(k, err);
    for (size_t m = 0; m < k->model->n_modules && !st; m++) {
        const struct lorac_module *module = &k->model->module[m];
        size_t layer = 0;
        bool within = o->layers && layer_of(&layer, module->name);
        for (size_t i = 0; within && i < o->n_layers; i++) {
            if (o->layers[i] != layer) { continue; }
            k->layers[i] = FITS | USED;
            out[m].weight = module->role != LORAC_ROLE_NORM;
            out[m].vector = module->n > 0;
        }
        found = found || out[m].weight || out[m].vector;
    }
    if (!st) { st = check_layers(k, err); }
    if (st || found) { return st; }
    return lorac_fail(err, k->words->code,
                      "adapter.method: none leaves nothing to train; name modules by %s, or layers "
                      "by %s",
                      k->words->train_also, k->words->layers);
}

enum lorac_status lorac_match_as(struct lorac_match *out, const struct lorac_model *m,
                                 const struct lorac_adapter_options *o,
                                 const struct lorac_match_words *words, struct lorac_err *err)
{
    struct matcher k = {.model = m, .o = o, .words = words};
    enum lorac_status st = check_options(o, words, err);
    if (!st) { st = lorac_match_full(out, m, o, words, err); }
    bool pairs = lorac_method_reads(o->method, "targets");
    if (!st && !o->train_all) { st = (pairs ? match_pairs : match_none)(out, &k, err); }
    if (!st) { st = lorac_match_biases(out, m, o, words, err); }
    for (size_t i = 0; k.overrides && i < o->n_overrides; i++) {
        lorac_pattern_free(k.overrides[i]);
    }
    lorac_pattern_free(k.regex);
    lorac_mem_free(k.overrides);
    lorac_mem_free(k.marks);
    return st;
}

struct lorac_adapter_options lorac_adapter_options_default(void)
{
    return (struct lorac_adapter_options){.rank = 8, .alpha = 16.0, .seed = 1234};
}

enum lorac_status lorac_match_modules(struct lorac_match *out, const struct lorac_model *m,
                                      const struct lorac_adapter_options *o, struct lorac_err *err)
{
    static const struct lorac_match_words recipe = {.targets = "adapter.targets",
                                                    .feedforward = "adapter.feedforward",
                                                    .exclude = "adapter.exclude",
                                                    .layers = "adapter.layers",
                                                    .overrides = "adapter.overrides",
                                                    .train_also = "adapter.train_also",
                                                    .tie = "adapter.tie",
                                                    .bias = "adapter.bias",
                                                    .strict = true,
                                                    .code = LORAC_EUSER};
    return lorac_match_as(out, m, o, &recipe, err);
}
