/* config.c - see config.h. */
#include "base/config_json.h"

#include "base/arch/arch.h"
#include "base/stand_in.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct lorac_arch *const archs[] = {
    &lorac_arch_llama,      &lorac_arch_mistral,     &lorac_arch_qwen2,
    &lorac_arch_qwen3,      &lorac_arch_gemma3,      &lorac_arch_gemma3_part,
    &lorac_arch_gpt2,       &lorac_arch_neox,        &lorac_arch_bert,
    &lorac_arch_roberta,    &lorac_arch_xlm_roberta, &lorac_arch_distilbert,
    &lorac_arch_modernbert,
};
enum { N_ARCHS = sizeof archs / sizeof archs[0], MAX_WIDTH = 1 << 20, MAX_VOCAB = 1 << 24 };

/* What transformers calls a model with another head, behind its family's name. */
static const struct {
    const char *name;
    enum lorac_task task;
} endings[] = {
    {"ForSequenceClassification", LORAC_TASK_CLASSIFY},
    {"ForTokenClassification", LORAC_TASK_TAG},
    {"ForPreTraining", LORAC_TASK_LM},
    {"Model", LORAC_TASK_BODY},
};

/* *own: the task of the head that this class has. */
static const struct lorac_arch *arch_named(enum lorac_task *own, const char *name)
{
    for (size_t i = 0; i < N_ARCHS; i++) { // the first LLaMA folders write LLaMAForCausalLM
        const char *family = archs[i]->family;
        size_t n = family ? strlen(family) : 0;
        *own = LORAC_TASK_LM;
        if (strcasecmp(archs[i]->name, name) == 0) { return archs[i]; }
        for (size_t k = 0; family && k < sizeof endings / sizeof *endings; k++) {
            *own = endings[k].task;
            bool named = strncmp(name, family, n) == 0 && strcmp(name + n, endings[k].name) == 0;
            if (named && archs[i]->heads[*own].row) { return archs[i]; }
        }
    }
    *own = LORAC_TASK_LM;
    return NULL;
}

/* What 'architectures' names: the names that the table has, and whether each is of a model that
 * generates. */
struct named {
    size_t n;
    const struct lorac_arch *known; // the first that the table has
    enum lorac_task own;            // and the task of its head
    bool several;                   // it has different ones
    bool generate;                  // all end with ForCausalLM
    const char *first;
};

static enum lorac_status read_names(struct named *out, const struct lorac_json *list,
                                    struct lorac_err *err)
{
    static const char end[] = "ForCausalLM";
    bool one = json_is_string(list->value); // as some tools write it
    *out = (struct named){.n = one ? 1 : json_array_size(list->value), .generate = true};
    if (list->value && !one && !json_is_array(list->value)) { out->n = SIZE_MAX; }
    for (size_t i = 0; i < out->n; i++) {
        struct lorac_json at = one ? *list : lorac_json_at(list, i);
        const char *name = json_string_value(at.value);
        if (!name) { return lorac_json_fail(list, "a list of architectures' names", err); }
        size_t n = strlen(name);
        enum lorac_task own = LORAC_TASK_LM;
        const struct lorac_arch *a = arch_named(&own, name);
        out->first = i ? out->first : name;
        out->several = out->several || (a && out->known && a != out->known);
        if (!out->known) { out->own = own; }
        out->known = out->known ? out->known : a;
        out->generate =
            out->generate && n >= sizeof end && strcasecmp(name + n - (sizeof end - 1), end) == 0;
    }
    return LORAC_OK;
}

static enum lorac_status unknown_arch(const struct lorac_json *root, const char *key,
                                      const char *name, struct lorac_err *err)
{
    struct lorac_buf known = {0};
    for (size_t i = 0; i < N_ARCHS; i++) {
        lorac_buf_printf(&known, "%s%s", i ? ", " : "", archs[i]->name);
    }
    enum lorac_status st = lorac_fail(err, LORAC_ENOTSUP, "%s: '%s' is %.80s; supported are %s",
                                      root->file, key, name, known.at ? known.at : "?");
    lorac_buf_free(&known);
    return st;
}

/* transformers goes by model_type, and lets 'architectures' name other heads of the same model, or
 * nothing; other programs go by 'architectures'. Where both say something, they must agree. */
static enum lorac_status find_arch(const struct lorac_arch **out, enum lorac_task *own,
                                   const struct lorac_json *root, struct lorac_err *err)
{
    struct lorac_json list = lorac_json_get(root, "architectures");
    struct named named;
    const char *type = NULL;
    const struct lorac_arch *by_type = NULL;
    enum lorac_status st = read_names(&named, &list, err);
    if (!st) { st = lorac_json_string(&type, root, "model_type", false, err); }
    if (st) { return st; }
    *own = named.own;
    for (size_t i = 0; type && i < N_ARCHS; i++) {
        if (strcmp(archs[i]->type, type) == 0) { by_type = archs[i]; }
    }
    if (named.n == 0 || (named.several && !by_type)) {
        if (!by_type && type && !named.n) { return unknown_arch(root, "model_type", type, err); }
        *out = by_type;
        return by_type ? LORAC_OK
                       : lorac_json_fail(&list,
                                         "a list of one architecture's name, or model_type "
                                         "the one that counts",
                                         err);
    }
    // code of its own may compute something else under the type of a known model
    bool encoder = by_type && strstr(by_type->name, "MaskedLM");
    bool other = named.generate && !encoder && !lorac_json_get(root, "auto_map").value;
    *out = named.several ? by_type : named.known ? named.known : other ? by_type : NULL;
    if (!*out) { return unknown_arch(root, "architectures", named.first, err); }
    if (by_type && by_type != *out) {
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s: 'architectures' is %s, but 'model_type' is %s: expected the same "
                          "model in both",
                          root->file, (*out)->name, type);
    }
    return LORAC_OK;
}

enum lorac_status lorac_config_window(struct lorac_config *c, const struct lorac_json *root,
                                      struct lorac_err *err)
{
    json_t *value = json_object_get(root->value, "sliding_window");
    if (json_is_null(value)) { c->window = 0; } // null: no window; absent: the default
    return lorac_json_size(&c->window, root, "sliding_window", false, 0, SIZE_MAX / 2, err);
}

enum lorac_status lorac_config_layer_types(bool *found, struct lorac_config *c,
                                           const struct lorac_json *root, struct lorac_err *err)
{
    struct lorac_json list = lorac_json_get(root, "layer_types");
    *found = list.value != NULL;
    if (!list.value) { return LORAC_OK; }
    if (json_array_size(list.value) != c->L) {
        return lorac_json_fail(&list, "a list with one type a layer", err);
    }
    for (size_t l = 0; l < c->L; l++) {
        struct lorac_json at = lorac_json_at(&list, l);
        const char *type = json_string_value(at.value);
        if (!type ||
            (strcmp(type, "full_attention") != 0 && strcmp(type, "sliding_attention") != 0)) {
            return lorac_json_fail(&at, "\"full_attention\" or \"sliding_attention\"", err);
        }
        c->sliding[l] = c->window > 0 && type[0] == 's';
    }
    return LORAC_OK;
}

static enum lorac_status read_sizes(struct lorac_config *c, const struct lorac_json *root,
                                    struct lorac_err *err)
{
    const struct lorac_config_keys *names = c->kind->keys;
    const struct lorac_config_keys *common = &lorac_keys_llama;
    const struct {
        size_t *to;
        const char *key, *also; // its name in all classes that have one of their own
        size_t max;
    } keys[] = {
        {&c->C, names->C, common->C, MAX_WIDTH},
        {&c->L, names->L, common->L, LORAC_MAX_LAYERS},
        {&c->H, names->H, common->H, 4096},
        {&c->F, names->F, names->F, MAX_WIDTH},
        {&c->V, "vocab_size", "vocab_size", MAX_VOCAB},
        {&c->max_positions, names->positions, common->positions, 1 << 28},
    };
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; !st && i < sizeof keys / sizeof keys[0]; i++) {
        bool required = *keys[i].to == 0; // the class has no default
        st = lorac_json_size(keys[i].to, root, keys[i].key, required, 1, keys[i].max, err);
        if (!st) { // attribute_map of transformers' classes: it counts where both are there
            st = lorac_json_size(keys[i].to, root, keys[i].also, false, 1, keys[i].max, err);
        }
    }
    if (st) { return st; }
    bool given = c->D > 0 || lorac_json_get(root, "head_dim").value; // by the class or the file
    if (c->G == 0) { c->G = c->H; }
    if (c->D == 0) { c->D = c->C / c->H; }
    if (names->G) { st = lorac_json_size(&c->G, root, names->G, false, 1, c->H, err); }
    if (!st && names->D) { st = lorac_json_size(&c->D, root, names->D, false, 2, 1024, err); }
    if (st) { return st; }
    if (c->H % c->G != 0) {
        return lorac_fail(
            err, LORAC_EFORMAT,
            "%s: num_attention_heads (%zu) is no multiple of num_key_value_heads (%zu)", root->file,
            c->H, c->G);
    }
    if (!given && c->C % c->H != 0) {
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s: hidden_size (%zu) is no multiple of num_attention_heads (%zu)",
                          root->file, c->C, c->H);
    }
    c->rotary = c->D;
    return LORAC_OK;
}

static enum lorac_status read_activation(struct lorac_config *c, const struct lorac_json *root,
                                         struct lorac_err *err)
{
    static const struct {
        const char *name;
        enum lorac_activation act;
    } acts[] = {{"silu", LORAC_SILU},          {"swish", LORAC_SILU},
                {"gelu", LORAC_GELU},          {"gelu_pytorch_tanh", LORAC_GELU_TANH},
                {"gelu_new", LORAC_GELU_TANH}, {"relu", LORAC_RELU}};
    const char *key = c->kind->keys->act;
    const char *name = NULL; // absent: the class's default
    enum lorac_status st = lorac_json_string(&name, root, key, false, err);
    if (st || !name) { return st; }
    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++) {
        if (strcmp(acts[i].name, name) == 0) {
            c->act = acts[i].act;
            return LORAC_OK;
        }
    }
    struct lorac_json at = lorac_json_get(root, key);
    return lorac_json_fail(&at, "silu, gelu, gelu_new, gelu_pytorch_tanh or relu", err);
}

/* The scaling's own keys; `rope` is rope_scaling or rope_parameters. */
static enum lorac_status read_rope_type(struct lorac_config *c, const struct lorac_json *rope,
                                        struct lorac_err *err)
{
    const char *type = "default";
    enum lorac_status st = lorac_json_string(&type, rope, "type", false, err); // the older key
    if (!st) { st = lorac_json_string(&type, rope, "rope_type", false, err); }
    if (st || strcmp(type, "default") == 0) { return st; }
    bool llama3 = strcmp(type, "llama3") == 0;
    if (!llama3 && strcmp(type, "linear") != 0) {
        struct lorac_json at = lorac_json_get(rope, "rope_type");
        if (!at.value) { at = lorac_json_get(rope, "type"); }
        return lorac_json_fail(&at, "default, linear or llama3 (others are not supported)", err);
    }
    c->rope = llama3 ? LORAC_ROPE_LLAMA3 : LORAC_ROPE_LINEAR;
    st = lorac_json_number(&c->factor, rope, "factor", true, err);
    if (!st && llama3) {
        st = lorac_json_number(&c->low_freq_factor, rope, "low_freq_factor", true, err);
        if (!st) {
            st = lorac_json_number(&c->high_freq_factor, rope, "high_freq_factor", true, err);
        }
        if (!st) {
            st = lorac_json_number(&c->original_positions, rope, "original_max_position_embeddings",
                                   true, err);
        }
    }
    if (!st && !(c->factor >= 1.0)) {
        struct lorac_json at = lorac_json_get(rope, "factor");
        st = lorac_json_fail(&at, "at least 1", err);
    }
    if (!st && llama3 &&
        !(c->low_freq_factor > 0.0 && c->high_freq_factor > c->low_freq_factor &&
          c->original_positions > 0.0)) {
        st = lorac_json_fail(
            rope, "0 < low_freq_factor < high_freq_factor and original positions > 0", err);
    }
    return st;
}

/* A key whose presence changes the mathematics in a way that nothing here computes; 1 changes
 * nothing, unless it caps. */
static enum lorac_status refuse_key(const struct lorac_json *object, const char *key,
                                    struct lorac_err *err)
{
    struct lorac_json at = lorac_json_get(object, key);
    bool one = json_is_number(at.value) && json_number_value(at.value) == 1.0;
    bool harmless = !at.value || (one && !strstr(key, "softcapping"));
    return harmless ? LORAC_OK : lorac_json_fail(&at, "absent (not supported)", err);
}

static enum lorac_status refuse_unknown(const struct lorac_json *root, struct lorac_err *err)
{
    static const char *const keys[] = {
        "partial_rotary_factor", "attn_logit_softcapping", "final_logit_softcapping", "logit_scale",
        "embedding_multiplier",  "residual_multiplier",    "num_local_experts"};
    enum lorac_status st = lorac_stand_in_quantised(root, err);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0] && !st; i++) {
        st = refuse_key(root, keys[i], err);
    }
    return st;
}

/* rope_parameters of a model whose layers have two bases: {"full_attention": {...},
 * "sliding_attention": {...}}. *rope becomes the first. */
static enum lorac_status read_sliding_rope(struct lorac_config *c, struct lorac_json *rope,
                                           struct lorac_err *err)
{
    const char *type = "default";
    struct lorac_json full = lorac_json_get(rope, "full_attention");
    struct lorac_json sliding = lorac_json_get(rope, "sliding_attention");
    if (!full.value && !sliding.value) { return LORAC_OK; } // one for the layers that are full
    if (json_object_size(rope->value) != (size_t) !!full.value + !!sliding.value) {
        return lorac_json_fail(rope, "full_attention and sliding_attention alone", err);
    }
    enum lorac_status st = lorac_json_string(&type, &sliding, "rope_type", false, err);
    if (!st && strcmp(type, "default") != 0) {
        struct lorac_json at = lorac_json_get(&sliding, "rope_type");
        st = lorac_json_fail(&at, "default (others are not supported where layers slide)", err);
    }
    if (!st) { st = lorac_json_number(&c->theta_sliding, &sliding, "rope_theta", false, err); }
    *rope = full;
    return st;
}

static enum lorac_status read_rope(struct lorac_config *c, const struct lorac_json *root,
                                   struct lorac_err *err)
{
    struct lorac_json rope = lorac_json_get(root, "rope_parameters"); // transformers 5
    if (!rope.value) { rope = lorac_json_get(root, "rope_scaling"); } // transformers 4
    if (rope.value && !json_is_object(rope.value)) {
        return lorac_json_fail(&rope, "an object", err);
    }
    const char *key = NULL;
    json_t *value = NULL;
    struct lorac_json scaling = lorac_json_get(root, "rope_scaling");
    bool same = !scaling.value || json_is_object(scaling.value);
    json_object_foreach(scaling.value, key, value) // both: they may say the same
    {
        bool old = strcmp(key, "type") == 0 && !json_object_get(rope.value, key);
        same = same && json_equal(value, json_object_get(rope.value, old ? "rope_type" : key));
    }
    if (!same) {
        return lorac_json_fail(&scaling, "absent beside rope_parameters, or say the same", err);
    }
    enum lorac_status st = c->theta_sliding > 0.0 ? read_sliding_rope(c, &rope, err) : LORAC_OK;
    if (st) { return st; }
    json_object_foreach(rope.value, key, value)
    {
        if (!json_is_object(value)) { continue; }
        struct lorac_json at = lorac_json_get(&rope, key); // settings of one type of layer
        return lorac_json_fail(&at, "a number or text (settings by layer are not supported)", err);
    }
    st = lorac_json_number(&c->theta, root, "rope_theta", false, err);
    if (!st && rope.value) { st = lorac_json_number(&c->theta, &rope, "rope_theta", false, err); }
    if (!st && rope.value && c->partial > 0.0) {
        st = lorac_json_number(&c->partial, &rope, "partial_rotary_factor", false, err);
    } else if (!st && rope.value) {
        st = refuse_key(&rope, "partial_rotary_factor", err);
    }
    if (!st && rope.value) { st = read_rope_type(c, &rope, err); }
    if (!st && !(c->theta > 1.0)) {
        struct lorac_json at = lorac_json_get(&rope, "rope_theta");
        if (!at.value) { at = lorac_json_get(root, "rope_theta"); }
        st = lorac_json_fail(&at, "above 1", err);
    }
    return st;
}

/* What every class has, then what only this one has; `root` describes the text model. */
static enum lorac_status read_class(struct lorac_config *c, const struct lorac_json *root,
                                    struct lorac_err *err)
{
    const char *eps = c->kind->keys->eps;
    enum lorac_status st = refuse_unknown(root, err);
    if (!st) { st = read_sizes(c, root, err); }
    if (!st && eps) { st = lorac_json_number(&c->eps, root, eps, false, err); }
    if (!st && !(c->eps > 0.0 && c->eps < 1.0)) {
        struct lorac_json at = lorac_json_get(root, eps);
        st = lorac_json_fail(&at, "above 0 and below 1", err);
    }
    if (!st) { st = lorac_json_bool(&c->tie, root, "tie_word_embeddings", false, err); }
    if (!st) { st = lorac_json_number(&c->init_range, root, "initializer_range", false, err); }
    if (!st) { st = read_activation(c, root, err); }
    if (!st) { st = read_rope(c, root, err); }
    if (!st) { st = c->kind->read(c, root, err); }
    if (!st && c->rotary % 2 != 0) {
        st = lorac_fail(err, LORAC_EFORMAT, "%s: the head size (%zu) must be even to rotate",
                        root->file, c->rotary);
    }
    return st;
}

/* What transformers takes for padding in a text's ids; -1 and null stand for none. */
static void read_pad(struct lorac_config *c, const struct lorac_json *root)
{
    const json_t *pad = json_object_get(root->value, "pad_token_id"); // absent: the class's
    if (pad) { c->pad = json_is_integer(pad) ? (size_t)json_integer_value(pad) + 1 : 0; }
}

/* How many labels the head in the files has: id2label, num_labels, or the two that transformers
 * takes where neither is there. */
static enum lorac_status read_labels(struct lorac_config *c, const struct lorac_json *root,
                                     struct lorac_err *err)
{
    if (!lorac_task_is_labelled(c->own)) { return LORAC_OK; }
    struct lorac_json names = lorac_json_get(root, "id2label");
    size_t n = json_object_size(names.value);
    c->labels = n > 0 ? n : 2;
    enum lorac_status st =
        lorac_json_size(&c->labels, root, "num_labels", false, 1, MAX_WIDTH, err);
    if (!st && n > 0 && n != c->labels) {
        st = lorac_json_fail(&names, "as many labels as num_labels says", err);
    }
    return st;
}

enum lorac_status lorac_config_read(struct lorac_config *out, const struct lorac_json *root,
                                    struct lorac_err *err)
{
    *out = (struct lorac_config){.eps = 1e-6, .theta = 10000.0, .factor = 1.0, .init_range = 0.02};
    if (!json_is_object(root->value)) {
        return lorac_fail(err, LORAC_EFORMAT, "%s: holds no JSON object", root->file);
    }
    const struct lorac_arch *arch = NULL;
    enum lorac_status st = find_arch(&arch, &out->own, root, err);
    if (st || !arch) { return st; }
    out->kind = arch;
    (void)snprintf(out->arch, sizeof out->arch, "%s", arch->name);
    out->program = arch->program;
    arch->defaults(out);
    struct lorac_json text = arch->inner ? lorac_json_get(root, arch->inner) : *root;
    if (!json_is_object(text.value)) { return lorac_json_fail(&text, "an object", err); }
    if (arch->inner) { st = refuse_unknown(root, err); }
    if (!st) { st = read_class(out, &text, err); }
    if (!st && arch->inner) {
        st = lorac_json_bool(&out->tie, root, "tie_word_embeddings", false, err);
    }
    if (!st) { st = read_labels(out, root, err); }
    if (!st) { read_pad(out, &text); }
    out->head = &arch->heads[LORAC_TASK_LM];
    out->Z = out->V;
    return st;
}

const char *lorac_task_text(enum lorac_task task)
{
    static const char *const texts[LORAC_TASKS] = {
        [LORAC_TASK_LM] = "predicting tokens",
        [LORAC_TASK_CLASSIFY] = "classifying texts",
        [LORAC_TASK_TAG] = "tagging tokens",
        [LORAC_TASK_BODY] = "hidden states",
    };
    return texts[task];
}

const char *lorac_config_class(char name[LORAC_CLASS_NAME], const struct lorac_config *c)
{
    (void)snprintf(name, LORAC_CLASS_NAME, "%s", c->kind->name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings && c->kind->family; i++) {
        if (c->task == LORAC_TASK_LM || endings[i].task != c->task) { continue; }
        (void)snprintf(name, LORAC_CLASS_NAME, "%s%s", c->kind->family, endings[i].name);
    }
    return name;
}

enum lorac_status lorac_config_task(struct lorac_config *c, enum lorac_task task, size_t labels,
                                    const char *where, struct lorac_err *err)
{
    if (task == LORAC_TASKS) { task = c->own; }
    bool takes = lorac_task_is_labelled(task);
    if (c->kind->heads[task].row == LORAC_ROW_NONE) {
        return lorac_fail(err, LORAC_ENOTSUP, "%s: a %s has no head for %s", where, c->kind->type,
                          lorac_task_text(task));
    }
    if (task == LORAC_TASK_LM && lorac_task_is_labelled(c->own)) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s: its head is for %s ('architectures' in config.json), not for %s",
                          where, lorac_task_text(c->own), lorac_task_text(task));
    }
    if (task == LORAC_TASK_LM && c->own == LORAC_TASK_BODY && c->bidirectional) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s: holds an encoder's body alone ('architectures' in config.json): it "
                          "has no head for predicting tokens; it is for objectives with a head "
                          "(classify, multilabel, regress, tag) and lorac embed",
                          where);
    }
    if (takes && c->own == task && labels > 0 && labels != c->labels) {
        return lorac_fail(err, LORAC_EUSER, "%s: its head has %zu labels, asked for are %zu", where,
                          c->labels, labels);
    }
    if (takes && c->own != task) { c->labels = labels; }
    if (takes && c->labels == 0) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s: has no head for %s: a new one needs the number of labels", where,
                          lorac_task_text(task));
    }
    c->task = task;
    c->head = &c->kind->heads[task];
    c->Z = takes ? c->labels : task == LORAC_TASK_BODY ? c->C : c->V;
    return LORAC_OK;
}

enum lorac_status lorac_config_key(const char **out, const struct lorac_json *root, const char *key,
                                   struct lorac_err *err)
{
    const struct lorac_config_keys *llama = &lorac_keys_llama;
    const struct lorac_arch *arch = NULL;
    enum lorac_task task;
    enum lorac_status st = find_arch(&arch, &task, root, err);
    if (st || !arch) { return st; }
    const struct lorac_config_keys *own = arch->keys;
    const char *const words[][2] = {
        {llama->C, own->C},     {llama->L, own->L}, {llama->H, own->H},
        {llama->F, own->F},     {llama->G, own->G}, {llama->positions, own->positions},
        {llama->eps, own->eps}, {llama->D, own->D}, {llama->theta, own->theta},
    };
    *out = key;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(words[i][0], key) == 0) { *out = words[i][1]; }
    }
    return LORAC_OK;
}

const char *lorac_arch_of_type(const char *model_type)
{
    for (size_t i = 0; i < N_ARCHS; i++) {
        if (strcmp(archs[i]->type, model_type) == 0) { return archs[i]->name; }
    }
    return NULL;
}

const char *lorac_arch_type(const char *arch)
{
    for (size_t i = 0; i < N_ARCHS; i++) {
        if (strcmp(archs[i]->name, arch) == 0) { return archs[i]->type; }
    }
    return NULL;
}

void lorac_arch_types(struct lorac_buf *b)
{
    for (size_t i = 0; i < N_ARCHS; i++) {
        lorac_buf_printf(b, "%s%s", i ? ", " : "", archs[i]->type);
    }
}

void lorac_config_text(struct lorac_buf *b, const struct lorac_config *c)
{
    lorac_buf_printf(b, "%s C=%zu L=%zu H=%zu G=%zu D=%zu F=%zu V=%zu eps=%.9g act=%d tie=%d",
                     c->arch, c->C, c->L, c->H, c->G, c->D, c->F, c->V, c->eps, (int)c->act,
                     c->tie);
    lorac_buf_printf(b, " bias=%d%d%d window=%zu:", c->qkv_bias, c->o_bias, c->mlp_bias, c->window);
    for (size_t l = 0; l < c->L; l++) {
        lorac_buf_str(b, c->sliding[l] ? "s" : "f");
    }
    lorac_buf_printf(b, " rope=%d theta=%.9g factor=%.9g low=%.9g high=%.9g original=%.9g",
                     (int)c->rope, c->theta, c->factor, c->low_freq_factor, c->high_freq_factor,
                     c->original_positions);
    if (c->scale > 0.0) { lorac_buf_printf(b, " scale=%.9g", c->scale); }
    if (c->embed_scale > 0.0) { lorac_buf_printf(b, " embed=%.9g", c->embed_scale); }
    if (c->norm_plus > 0.0) { lorac_buf_printf(b, " plus=%.9g", c->norm_plus); }
    if (c->layernorm) { lorac_buf_printf(b, " layernorm=1 by_layer=%d", c->scale_by_layer); }
    if (c->rotary != c->D) { lorac_buf_printf(b, " rotary=%zu", c->rotary); }
    if (c->theta_sliding > 0.0) { lorac_buf_printf(b, " sliding=%.9g", c->theta_sliding); }
    if (c->bidirectional) {
        lorac_buf_printf(b, " both_ways=1 types=%zu offset=%zu", c->types, c->position_offset);
        lorac_buf_printf(b, " gain_only=%d mean=%d head_bias=%d%d", c->gain_only, c->pool_mean,
                         c->dense_bias, c->decoder_bias);
    }
}

static double plain_frequency(double theta, const struct lorac_config *c, size_t i)
{
    return 1.0 / pow(theta, 2.0 * (double)i / (double)c->rotary);
}

/* Frequency i of D/2, in radians a position.
 * llama3 (transformers modeling_rope_utils.py, _compute_llama3_parameters): wave lengths over
 * original/low are stretched by factor, those under original/high stay, between them both are
 * blended. */
static double frequency(const struct lorac_config *c, size_t i)
{
    static const double two_pi = 6.283185307179586476925;
    double f = plain_frequency(c->theta, c, i);
    if (c->rope == LORAC_ROPE_LINEAR) { return f / c->factor; }
    if (c->rope == LORAC_ROPE_DEFAULT) { return f; }
    double wave = two_pi / f;
    if (wave > c->original_positions / c->low_freq_factor) { return f / c->factor; }
    if (wave < c->original_positions / c->high_freq_factor) { return f; }
    double smooth = (c->original_positions / wave - c->low_freq_factor) /
                    (c->high_freq_factor - c->low_freq_factor);
    return (1.0 - smooth) * f / c->factor + smooth * f;
}

void lorac_rope_table(float *table, const struct lorac_config *c, size_t positions, bool sliding)
{
    size_t half = c->rotary / 2;
    for (size_t i = 0; i < half; i++) {
        double f = sliding ? plain_frequency(c->theta_sliding, c, i) : frequency(c, i);
        for (size_t p = 0; p < positions; p++) {
            table[p * c->rotary + i] = (float)cos((double)p * f);
            table[p * c->rotary + half + i] = (float)sin((double)p * f);
        }
    }
}
