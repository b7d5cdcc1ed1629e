/* peft_config.c - reading adapter_config.json; see peft_config.h. The writer is
 * peft_config_write.c. */
#include "lora/peft_config.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "lora/match.h"
#include "lora/methods/methods.h"
#include "lora/peft_files.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { MAX_BYTES = 1 << 23, MAX_NAMES = 1 << 17, MAX_PATTERNS = 1 << 14, MAX_RANK = 4096 };

enum rule {
    READ_ALL,   // by one of the functions below; a key of all types
    ANY_ALL,    // no part in what the tensors mean; of all types
    READ,       // by one of the functions below; of LORA, as all that follow
    ANY,        // no part in what the tensors mean
    FALSE_ONLY, // null or false only
    EMPTY_ONLY, // null, {}, [] or "" only
    NULL_ONLY,  // null only
};

/* All keys that PEFT has written from 0.1 to 0.21 (tuners/lora/config.py, config.py). */
static const struct key {
    const char *name;
    enum rule rule;
    const char *why; // it cannot be something else
} keys[] = {
    {"peft_type", READ_ALL, NULL},
    {"task_type", READ_ALL, NULL},
    {"base_model_name_or_path", READ_ALL, NULL},
    {"r", READ, NULL},
    {"lora_alpha", READ, NULL},
    {"lora_dropout", READ, NULL},
    {"target_modules", READ_ALL, NULL},
    {"exclude_modules", READ_ALL, NULL},
    {"layers_to_transform", READ, NULL},
    {"layers_pattern", READ, NULL},
    {"rank_pattern", READ, NULL},
    {"alpha_pattern", READ, NULL},
    {"use_rslora", READ, NULL},
    {"use_dora", READ, NULL}, // a method's peft_flag
    {"bias", READ, NULL},
    {"init_lora_weights", READ, NULL},
    {"modules_to_save", READ_ALL, NULL},
    {"ensure_weight_tying", READ, NULL},

    {"inference_mode", ANY_ALL, NULL},
    {"revision", ANY_ALL, NULL},
    {"auto_mapping", ANY_ALL, NULL},
    {"peft_version", ANY_ALL, NULL},
    {"merge_weights", ANY, NULL},      // of PEFT 0.1 and 0.2: how to run it
    {"fan_in_fan_out", ANY_ALL, NULL}, // PEFT goes by the module that it meets
    {"megatron_core", ANY, NULL},      // a Python module's name
    {"qalora_group_size", ANY, NULL},  // of use_qalora
    {"eva_config", ANY, NULL},         // how A was initialised; so are the next two, whose
    {"corda_config", ANY, NULL},       // init_lora_weights is refused unless it was converted
    {"lora_ga_config", ANY, NULL},

    {"lora_bias", FALSE_ONLY, "a bias on B is not supported"},
    {"use_qalora", FALSE_ONLY, "QALoRA is not supported"},
    {"use_bdlora", FALSE_ONLY, "BD-LoRA is not supported"},
    {"loftq_config", EMPTY_ONLY, "LoftQ quantises the base"},
    {"megatron_config", EMPTY_ONLY, "Megatron's layers are not supported"},
    {"layer_replication", EMPTY_ONLY, "replicated layers are not supported"},
    {"trainable_token_indices", EMPTY_ONLY, "trained tokens are not supported"},
    {"target_parameters", EMPTY_ONLY, "adapters on bare parameters are not supported"},
    {"alora_invocation_tokens", EMPTY_ONLY, "adapters that tokens switch on are not supported"},
    {"arrow_config", NULL_ONLY, "Arrow routing is not supported"},
    {"monteclora_config", NULL_ONLY, "MonteCLoRA is not supported"},
    {"velora_config", NULL_ONLY, "VeLoRA is not supported"},
    {"kasa_config", NULL_ONLY, "KaSA changes the base"},
    {"enable_lora", NULL_ONLY, "grouped adapters of PEFT 0.2 are not supported"},
};

static bool is_empty(const json_t *v)
{
    return json_is_null(v) || (json_is_object(v) && json_object_size(v) == 0) ||
           (json_is_array(v) && json_array_size(v) == 0) ||
           (json_is_string(v) && json_string_length(v) == 0);
}

static enum lorac_status refuse(const struct lorac_json *at, const char *expected, const char *why,
                                struct lorac_err *err)
{
    char text[160];
    (void)snprintf(text, sizeof text, "%s (%s)", expected, why);
    return lorac_json_fail(at, text, err);
}

/* Does a method with keys of its own read this one? */
static bool is_own_key(const struct lorac_method *m, const char *name)
{
    const char *at = m->peft_keys ? strstr(m->peft_keys, name) : NULL;
    return at && at > m->peft_keys && at[-1] == '|' && at[strlen(name)] == '|';
}

static enum lorac_status check_key(const struct lorac_json *root, const struct lorac_method *m,
                                   const char *name, json_t *value, struct lorac_err *err)
{
    struct lorac_json at = {.value = value, .file = root->file};
    (void)snprintf(at.where, sizeof at.where, "%.90s", name);
    const struct key *k = NULL;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0] && !k; i++) {
        if (strcmp(keys[i].name, name) == 0) { k = &keys[i]; }
    }
    bool off = json_is_null(value) || json_is_false(value);
    if (is_own_key(m, name)) { return LORAC_OK; }
    if (m->peft_keys && k && k->rule > ANY_ALL && !off && !is_empty(value)) {
        char why[64];
        (void)snprintf(why, sizeof why, "%s has no such key", m->title);
        return refuse(&at, "absent", why, err);
    }
    if (!k) {
        return off || (is_empty(value) && !json_is_string(value))
                   ? LORAC_OK
                   : refuse(&at, "absent", "this key is not understood", err);
    }
    if (k->rule == FALSE_ONLY && !off) { return refuse(&at, "false", k->why, err); }
    if (k->rule == EMPTY_ONLY && !is_empty(value)) {
        return refuse(&at, "null or empty", k->why, err);
    }
    if (k->rule == NULL_ONLY && !json_is_null(value)) { return refuse(&at, "null", k->why, err); }
    return LORAC_OK;
}

static enum lorac_status check_object(const struct lorac_json *root, struct lorac_err *err)
{
    if (!json_is_object(root->value)) {
        return lorac_fail(err, LORAC_EFORMAT, "%s: must be a JSON object", root->file);
    }
    if (!json_object_get(root->value, "peft_type") &&
        json_object_get(root->value, "lora_parameters")) {
        return lorac_fail(
            err, LORAC_ENOTSUP,
            "%s: is a configuration of mlx-lm, not of PEFT; mlx_lm.fuse puts the adapter "
            "into a model that is read",
            root->file);
    }
    return LORAC_OK;
}

static enum lorac_status check_keys(const struct lorac_json *root, const struct lorac_method *m,
                                    struct lorac_err *err)
{
    const char *name = NULL;
    json_t *value = NULL;
    enum lorac_status st = LORAC_OK;
    json_object_foreach(root->value, name, value)
    {
        st = check_key(root, m, name, value, err);
        if (st) { break; }
    }
    return st;
}

/* Methods that start by changing the base: their A and B say what to add to another base than the
 * one on disk. PEFT converts them on request and then writes `true`. */
static enum lorac_status read_init(struct lorac_adapter_options *o, const struct lorac_json *root,
                                   struct lorac_err *err)
{
    static const char *const fine[] = {"eva", "orthogonal", "mica"};
    static const char *const changes[] = {"pissa", "olora", "corda", "loftq", "lora_ga"};
    struct lorac_json at = lorac_json_get(root, "init_lora_weights");
    if (!at.value || json_is_boolean(at.value)) { return LORAC_OK; }
    const char *s = json_string_value(at.value);
    if (!s) { return lorac_json_fail(&at, "true, false or a method's name", err); }
    if (strcmp(s, "gaussian") == 0) {
        o->init = LORAC_INIT_GAUSSIAN;
        return LORAC_OK;
    }
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        if (strcmp(s, fine[i]) == 0) { return LORAC_OK; }
    }
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        if (strncmp(s, changes[i], strlen(changes[i])) == 0) {
            return refuse(&at, "true",
                          "this method changed the base, which the saved A and B don't hold; "
                          "convert it to plain LoRA with PEFT",
                          err);
        }
    }
    return lorac_json_fail(&at, "true, false or a method that is known", err);
}

/* Which biases train, and what becomes of a tied pair. */
static enum lorac_status read_full(struct lorac_adapter_options *o, const struct lorac_json *root,
                                   struct lorac_err *err)
{
    const char *bias = "none";
    bool keep = false;
    enum lorac_status st = lorac_json_string(&bias, root, "bias", false, err);
    if (!st) { st = lorac_json_bool(&keep, root, "ensure_weight_tying", false, err); }
    if (st) { return st; }
    while (lorac_bias_name(o->bias) && strcmp(bias, lorac_bias_name(o->bias)) != 0) {
        o->bias++;
    }
    if (!lorac_bias_name(o->bias)) {
        struct lorac_json at = lorac_json_get(root, "bias");
        return lorac_json_fail(&at, "\"none\", \"lora_only\" or \"all\"", err);
    }
    o->tie = keep ? LORAC_TIE_KEEP : LORAC_TIE_UNTIE;
    return LORAC_OK;
}

/* The row of this type whose flag is true, or else that without one. */
static enum lorac_status read_method(struct lorac_adapter_options *o, const struct lorac_json *root,
                                     struct lorac_err *err)
{
    char types[100] = "";
    size_t used = 0;
    const char *type = NULL;
    enum lorac_status st = lorac_json_string(&type, root, "peft_type", true, err);
    if (st) { return st; }
    for (size_t i = 0; lorac_methods[i] && !st; i++) {
        const struct lorac_method *m = lorac_methods[i];
        bool on = !m->peft_flag;
        if (!m->tensor[0]) { continue; } // its files are another's
        if (on && used < sizeof types) {
            int n = snprintf(types + used, sizeof types - used, "%s\"%s\"", i ? " or " : "",
                             m->peft_type);
            used += n > 0 ? (size_t)n : 0;
        }
        if (strcmp(m->peft_type, type) != 0) { continue; }
        if (m->peft_flag) { st = lorac_json_bool(&on, root, m->peft_flag, false, err); }
        if (!st && on) { o->method = m->name; }
    }
    struct lorac_json at = lorac_json_get(root, "peft_type");
    return st || o->method ? st : lorac_json_fail(&at, types, err);
}

const char *const lorac_peft_heads[] = {"classifier", "score", NULL};

static const struct {
    const char *name;  // task_type
    const char *class; // how the classes of transformers end that have this head
    enum lorac_task task;
} tasks[] = {
    {"CAUSAL_LM", "ForCausalLM", LORAC_TASK_LM},
    {"SEQ_CLS", "ForSequenceClassification", LORAC_TASK_CLASSIFY},
    {"TOKEN_CLS", "ForTokenClassification", LORAC_TASK_TAG},
    {"FEATURE_EXTRACTION", NULL, LORAC_TASK_BODY}, // GPT2LMHeadModel ends with Model, too
};
enum { N_TASKS = sizeof tasks / sizeof *tasks };

const char *lorac_peft_task_type(const struct lorac_config *c)
{
    const char *type = NULL;
    if (c->task == LORAC_TASK_LM && c->bidirectional) { return NULL; } // CAUSAL_LM generates
    for (size_t i = 0; i < N_TASKS; i++) {
        if (tasks[i].task == c->task) { type = tasks[i].name; }
    }
    return type;
}

/* task_type; where it is null, the class of the model that PEFT found. */
static enum lorac_status read_task(struct lorac_peft_config *c, struct lorac_err *err)
{
    const char *type = NULL;
    const char *class = NULL;
    struct lorac_json mapping = lorac_json_get(&c->root, "auto_mapping");
    enum lorac_status st = lorac_json_string(&type, &c->root, "task_type", false, err);
    if (!st && !type && json_is_object(mapping.value)) {
        st = lorac_json_string(&class, &mapping, "base_model_class", false, err);
    }
    for (size_t i = 0; i < N_TASKS && !st; i++) {
        bool fits = type                      ? strcmp(type, tasks[i].name) == 0
                    : class && tasks[i].class ? lorac_ends_with(class, tasks[i].class)
                                              : false;
        if (!fits) { continue; }
        c->task = tasks[i].task;
        c->has_task = true;
    }
    if (st || !type || c->has_task) { return st; }
    struct lorac_json at = lorac_json_get(&c->root, "task_type");
    return lorac_json_fail(
        &at, "\"CAUSAL_LM\", \"SEQ_CLS\", \"TOKEN_CLS\", \"FEATURE_EXTRACTION\" or null", err);
}

static enum lorac_status read_kind(struct lorac_peft_config *c, struct lorac_err *err)
{
    const struct lorac_json *root = &c->root;
    enum lorac_status st = read_task(c, err);
    if (!st) { st = read_full(&c->options, root, err); }
    if (st) { return st; }
    return lorac_json_string(&c->base_name, root, "base_model_name_or_path", false, err);
}

static enum lorac_status read_alpha(double *out, const struct lorac_json *at, struct lorac_err *err)
{
    double v = json_number_value(at->value); // 0 where it is no number
    if (!(v > 0) || !isfinite(v)) { return lorac_json_fail(at, "a number above 0", err); }
    *out = v;
    return LORAC_OK;
}

static enum lorac_status read_numbers(struct lorac_adapter_options *o,
                                      const struct lorac_json *root, struct lorac_err *err)
{
    bool rslora = false;
    o->rank = 8; // PEFT's defaults, of keys that are absent
    o->alpha = 8;
    if (json_is_null(json_object_get(root->value, "r"))) {
        return lorac_fail(
            err, LORAC_EFORMAT,
            "%s: 'r' is null: write the rank that it was trained with, the rows of each "
            "lora_A",
            root->file);
    }
    if (json_is_null(json_object_get(root->value, "lora_alpha"))) {
        return lorac_fail(
            err, LORAC_EFORMAT,
            "%s: 'lora_alpha' is null: the update's scale is lora_alpha / r, and nothing "
            "else tells it; write the number that it was trained with",
            root->file);
    }
    enum lorac_status st = lorac_json_size(&o->rank, root, "r", false, 1, MAX_RANK, err);
    if (st) { return st; }
    struct lorac_json at = lorac_json_get(root, "lora_alpha");
    if (at.value) { st = read_alpha(&o->alpha, &at, err); }
    if (!st) { st = lorac_json_number(&o->dropout, root, "lora_dropout", false, err); }
    if (!st) { st = lorac_json_bool(&rslora, root, "use_rslora", false, err); }
    if (st) { return st; }
    at = lorac_json_get(root, "lora_dropout");
    if (!(o->dropout >= 0 && o->dropout < 1)) {
        return lorac_json_fail(&at, "a number from 0 to below 1", err);
    }
    o->scaling = rslora ? LORAC_SCALE_RSLORA : LORAC_SCALE_STANDARD;
    return LORAC_OK;
}

/* A list of names into to[0 ..]. */
static enum lorac_status read_names(const char **to, size_t *n, const struct lorac_json *list,
                                    struct lorac_err *err)
{
    *n = 0;
    for (size_t i = 0; i < json_array_size(list->value); i++) {
        struct lorac_json at = lorac_json_at(list, i);
        const char *s = json_string_value(at.value);
        if (!s || !s[0] || strlen(s) != json_string_length(at.value)) {
            return lorac_json_fail(&at, "a module's name", err);
        }
        to[(*n)++] = s;
    }
    return LORAC_OK;
}

/* As PEFT's IA3Config has it: what is adapted at its input is one of the targets. */
static enum lorac_status check_inputs(const struct lorac_adapter_options *o,
                                      const struct lorac_json *inputs, struct lorac_err *err)
{
    for (size_t i = 0; i < o->n_feedforward; i++) {
        size_t k = 0;
        while (k < o->n_targets && strcmp(o->targets[k], o->feedforward[i]) != 0) {
            k++;
        }
        struct lorac_json at = lorac_json_at(inputs, i);
        if (k == o->n_targets) { return lorac_json_fail(&at, "one of target_modules", err); }
    }
    return LORAC_OK;
}

/* PEFT's own class for the task adds the head, not one that it only found. */
static bool names_head(const struct lorac_json *root)
{
    const char *type = json_string_value(json_object_get(root->value, "task_type"));
    return type && strcmp(type, "CAUSAL_LM") != 0;
}

static enum lorac_status read_targets(struct lorac_peft_config *c, struct lorac_err *err)
{
    struct lorac_adapter_options *o = &c->options;
    struct lorac_json targets = lorac_json_get(&c->root, "target_modules");
    struct lorac_json exclude = lorac_json_get(&c->root, "exclude_modules");
    struct lorac_json full = lorac_json_get(&c->root, "modules_to_save");
    struct lorac_json inputs = lorac_json_get(&c->root, "feedforward_modules");
    size_t n = json_array_size(targets.value);
    size_t n_exclude = json_array_size(exclude.value);
    size_t n_full = json_array_size(full.value);
    size_t n_inputs = json_array_size(inputs.value);
    const char *text = json_string_value(targets.value);
    if ((!text || !text[0]) && n == 0) {
        return lorac_json_fail(&targets, "a list of names or a pattern", err);
    }
    if (n > MAX_NAMES) { return refuse(&targets, "a list", "it is too long", err); }
    if (exclude.value && (!json_is_array(exclude.value) || n_exclude > MAX_NAMES)) {
        return refuse(&exclude, "null or a list of names", "patterns are not supported here", err);
    }
    if (full.value &&
        (!(json_is_array(full.value) || is_empty(full.value)) || n_full > MAX_NAMES)) {
        return lorac_json_fail(&full, "null or a list of names", err);
    }
    if (inputs.value && (!json_is_array(inputs.value) || n_inputs > MAX_NAMES)) {
        return refuse(&inputs, "a list of names", "patterns are not supported here", err);
    }
    size_t n_heads = sizeof lorac_peft_heads / sizeof *lorac_peft_heads - 1;
    c->names = lorac_mem_new(n + n_exclude + n_full + n_heads + n_inputs, sizeof *c->names);
    if (!c->names) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory", c->root.file); }
    enum lorac_status st = read_names(c->names, &o->n_targets, &targets, err);
    if (!st) { st = read_names(c->names + n, &o->n_exclude, &exclude, err); }
    if (!st) { st = read_names(c->names + n + n_exclude, &o->n_train_also, &full, err); }
    for (size_t i = 0; i < n_heads && !st && names_head(&c->root); i++) {
        c->names[n + n_exclude + o->n_train_also++] = lorac_peft_heads[i];
    }
    const char **at_inputs = c->names + n + n_exclude + n_full + n_heads;
    if (!st) { st = read_names(at_inputs, &o->n_feedforward, &inputs, err); }
    if (st) { return st; }
    o->targets = c->names;
    o->exclude = c->names + n;
    o->train_also = c->names + n + n_exclude;
    o->feedforward = at_inputs;
    if (!text) { return check_inputs(o, &inputs, err); }
    char lower[sizeof "all-linear"] = "";
    for (size_t i = 0; i + 1 < sizeof lower && text[i]; i++) {
        lower[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
    }
    bool all = strlen(text) + 1 == sizeof lower && strcmp(lower, "all-linear") == 0;
    st = lorac_json_string(&text, &c->root, "target_modules", true, err); // no NUL inside
    o->regex = all ? NULL : text;
    return st;
}

/* A number or a list of them. Negative and absurd numbers match no layer, here as in PEFT. */
static enum lorac_status read_layers(struct lorac_peft_config *c, struct lorac_err *err)
{
    struct lorac_json list = lorac_json_get(&c->root, "layers_to_transform");
    struct lorac_json pattern = lorac_json_get(&c->root, "layers_pattern");
    bool one = json_is_integer(list.value);
    size_t n = one ? 1 : json_array_size(list.value);
    json_t *name = json_is_array(pattern.value) && json_array_size(pattern.value) == 1
                       ? json_array_get(pattern.value, 0)
                       : pattern.value;
    const char *s = json_string_value(name);
    if (pattern.value && !is_empty(pattern.value) && (!s || strcmp(s, "layers") != 0)) {
        return refuse(&pattern, "null or \"layers\"", "these models have no others", err);
    }
    if (!list.value) { return LORAC_OK; }
    if (n == 0 || n > MAX_NAMES) {
        return lorac_json_fail(&list, "null, a layer's number or a list of them", err);
    }
    if (json_is_string(json_object_get(c->root.value, "target_modules"))) {
        return refuse(&list, "null", "target_modules is no list", err);
    }
    c->layers = lorac_mem_new(n, sizeof *c->layers);
    if (!c->layers) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory", c->root.file); }
    for (size_t i = 0; i < n; i++) {
        struct lorac_json at = one ? list : lorac_json_at(&list, i);
        json_int_t v = json_integer_value(at.value);
        if (!json_is_integer(at.value) || v < 0 || v >= LORAC_MAX_LAYERS) {
            return lorac_json_fail(&at, "a layer's number", err);
        }
        c->layers[i] = (size_t)v;
    }
    c->options.layers = c->layers;
    c->options.n_layers = n;
    return LORAC_OK;
}

static enum lorac_status read_pattern(struct lorac_peft_config *c, const struct lorac_json *map,
                                      bool ranks, struct lorac_err *err)
{
    const char *key = NULL;
    json_t *value = NULL;
    enum lorac_status st = LORAC_OK;
    json_object_foreach(map->value, key, value)
    { // in the order of the file
        struct lorac_override *v = &c->overrides[c->options.n_overrides++];
        struct lorac_json at = lorac_json_get(map, key);
        v->match = key;
        if (ranks) {
            st = lorac_json_size(&v->rank, map, key, true, 1, MAX_RANK, err);
        } else {
            st = read_alpha(&v->alpha, &at, err);
        }
        if (st) { break; }
    }
    return st;
}

static enum lorac_status read_overrides(struct lorac_peft_config *c, struct lorac_err *err)
{
    struct lorac_json ranks = lorac_json_get(&c->root, "rank_pattern");
    struct lorac_json alphas = lorac_json_get(&c->root, "alpha_pattern");
    if (ranks.value && !json_is_object(ranks.value)) {
        return lorac_json_fail(&ranks, "an object", err);
    }
    if (alphas.value && !json_is_object(alphas.value)) {
        return lorac_json_fail(&alphas, "an object", err);
    }
    size_t n = json_object_size(ranks.value) + json_object_size(alphas.value);
    if (n > MAX_PATTERNS) { return refuse(&ranks, "an object", "it is too long", err); }
    c->overrides = lorac_mem_new(n, sizeof *c->overrides);
    if (!c->overrides) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory", c->root.file); }
    c->options.overrides = c->overrides;
    enum lorac_status st = read_pattern(c, &ranks, true, err);
    return st ? st : read_pattern(c, &alphas, false, err);
}

enum lorac_status lorac_peft_config_parse(struct lorac_peft_config *out, const char *text, size_t n,
                                          const char *file, struct lorac_err *err)
{
    *out = (struct lorac_peft_config){0};
    enum lorac_status st = lorac_json_parse(&out->root, text, n, file, err);
    struct lorac_adapter_options *o = &out->options;
    if (!st) { st = check_object(&out->root, err); }
    if (!st) { st = read_method(o, &out->root, err); }
    const struct lorac_method *m = lorac_method_find(o->method);
    if (!st) { st = check_keys(&out->root, m, err); }
    if (!st) { st = read_kind(out, err); }
    if (!st && m->ranked) { st = read_init(o, &out->root, err); }
    if (!st && m->ranked) { st = read_numbers(o, &out->root, err); }
    if (!st) { st = read_targets(out, err); }
    if (!st) { st = read_layers(out, err); }
    if (!st) { st = read_overrides(out, err); }
    if (st) { lorac_peft_config_free(out); }
    return st;
}

enum lorac_status lorac_peft_config_load(struct lorac_peft_config *out, const char *path,
                                         struct lorac_err *err)
{
    char *text = NULL;
    size_t n = 0;
    *out = (struct lorac_peft_config){0};
    enum lorac_status st = lorac_file_read(&text, &n, path, MAX_BYTES, err);
    if (!st) { st = lorac_peft_config_parse(out, text, n, path, err); }
    lorac_mem_free(text);
    return st;
}

void lorac_peft_config_free(struct lorac_peft_config *c)
{
    lorac_json_free(&c->root);
    lorac_mem_free(c->names);
    lorac_mem_free(c->layers);
    lorac_mem_free(c->overrides);
    *c = (struct lorac_peft_config){0};
}

enum lorac_status lorac_peft_config_match(struct lorac_match *out,
                                          const struct lorac_peft_config *c,
                                          const struct lorac_model *m, struct lorac_err *err)
{
    const char *regex = c->options.regex;
    const struct lorac_match_words words = {
        .targets = "target_modules",
        .exclude = "exclude_modules",
        .layers = "layers_to_transform",
        .overrides = "rank_pattern or alpha_pattern",
        .feedforward = "feedforward_modules",
        .train_also = "modules_to_save",
        .tie = "ensure_weight_tying",
        .bias = "bias",
        .all_overrides = !c->idle_patterns,
        .may_be_empty = regex && strcmp(regex, LORAC_PEFT_NO_TARGETS) == 0,
        .code = LORAC_EFORMAT,
    };
    enum lorac_status st = lorac_match_as(out, m, &c->options, &words, err);
    if (st) { lorac_err_prefix(err, "%s: ", c->root.file); }
    return st;
}
