/* init.c - see init.h: complete the configuration, list the tensors, write them, read all of it
 * back. */
#include "base/init.h"

#include "base/arch/arch.h"
#include "base/config_json.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/rng.h"
#include "base/core/sibling.h"
#include "base/fresh.h"
#include "base/model.h"
#include "base/tokenizer/tokenizer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK = 4096 };
static const size_t default_shard = 5000000000U;
static const double default_range = 0.02; // initializer_range of every class in the table

struct tensor {
    char name[LORAC_NAME_SIZE];
    float constant; // all elements, where std is 0
    double std;
    size_t zero_row; // SIZE_MAX: none
};

struct init {
    const struct lorac_init_options *options;
    json_t *json; // the completed configuration
    struct lorac_config config;
    double range;
    size_t pad;                     // row of the embedding that is 0; SIZE_MAX: none
    struct tensor *tensors;         // (n)
    struct lorac_tensor_spec *spec; // (n) in the order of the files
    size_t n;
    size_t first; // of the shard at hand
};

/* ---- the configuration ---- */

static enum lorac_status no_memory(struct lorac_err *err)
{
    return lorac_fail(err, LORAC_ENOMEM, "no memory to make a model");
}

static enum lorac_status put(json_t *object, const char *key, json_t *value, struct lorac_err *err)
{
    return json_object_set_new(object, key, value) ? no_memory(err) : LORAC_OK;
}

/* A key that is there stays. */
static enum lorac_status put_absent(json_t *object, const char *key, json_t *value,
                                    struct lorac_err *err)
{
    json_t *there = json_object_get(object, key);
    if (!there || json_is_null(there)) { return put(object, key, value, err); }
    json_decref(value);
    return LORAC_OK;
}

static enum lorac_status put_id(json_t *object, const char *key, int32_t id, struct lorac_err *err)
{
    return put(object, key, id < 0 ? json_null() : json_integer(id), err);
}

/* The vocabulary and its special tokens. */
static enum lorac_status put_tokenizer(json_t *json, const char *file, const char *dir,
                                       struct lorac_err *err)
{
    struct lorac_tokenizer *t = NULL;
    struct lorac_json root = {.value = json, .file = file};
    size_t V = 0;
    enum lorac_status st = lorac_tokenizer_open(&t, dir, err);
    if (!st) { st = lorac_json_size(&V, &root, "vocab_size", false, 1, SIZE_MAX / 2, err); }
    if (st) { goto done; }
    if (V > 0 && V < lorac_tokenizer_size(t)) {
        st = lorac_fail(err, LORAC_EUSER,
                        "%s: vocab_size is %zu, but the tokenizer in %s has %zu tokens", file, V,
                        dir, lorac_tokenizer_size(t));
        goto done;
    }
    if (V == 0) {
        st = put(json, "vocab_size", json_integer((json_int_t)lorac_tokenizer_size(t)), err);
    }
    if (!st) { st = put_id(json, "bos_token_id", lorac_tokenizer_bos(t), err); }
    if (!st) { st = put_id(json, "eos_token_id", lorac_tokenizer_eos(t), err); }
    if (!st) { st = put_id(json, "pad_token_id", lorac_tokenizer_pad(t), err); }
done:
    lorac_tokenizer_free(t);
    return st;
}

/* What may be left out of a config.json, with the values that lorac reads then: the defaults of
 * transformers' classes differ from each other and from version to version. */
static enum lorac_status put_defaults(json_t *json, const struct lorac_config *c, double range,
                                      struct lorac_err *err)
{
    static const char *const acts[] = {
        [LORAC_SILU] = "silu",
        [LORAC_GELU] = "gelu",
        [LORAC_GELU_TANH] = "gelu_pytorch_tanh",
        [LORAC_RELU] = "relu",
    };
    const struct lorac_config_keys *names = c->kind->keys;
    const struct {
        const char *key;
        json_t *value;
    } keys[] = {
        {names->act, json_string(acts[c->act])},
        {"initializer_range", json_real(range)},
        {names->positions, json_integer((json_int_t)(c->position_offset + c->max_positions))},
        {names->G, json_integer((json_int_t)c->G)},
        {names->eps, json_real(c->eps)},
        {"tie_word_embeddings", json_boolean(c->tie)},
        {"use_cache", json_true()},
    };
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (!keys[i].key) { // a class without it
            json_decref(keys[i].value);
            continue;
        }
        enum lorac_status one = put_absent(json, keys[i].key, keys[i].value, st ? NULL : err);
        st = st ? st : one;
    }
    bool rope = json_is_object(json_object_get(json, "rope_parameters"));
    if (!st && !rope && names->theta) {
        st = put_absent(json, names->theta, json_real(c->theta), err);
    }
    return st;
}

static enum lorac_status put_types(json_t *json, const struct lorac_config *c,
                                   enum lorac_dtype dtype, struct lorac_err *err)
{
    (void)json_object_del(
        json, "dtype"); // transformers 5's name of the same; it reads both, 4 reads this one
    enum lorac_status st = put(json, "torch_dtype", json_string(lorac_dtype_torch(dtype)), err);
    return st ? st : put(json, "model_type", json_string(lorac_arch_type(c->arch)), err);
}

/* One of the caller's settings; the base of the frequencies goes where transformers 5 has it. */
static enum lorac_status put_setting(struct lorac_json *root, const struct lorac_init_setting *s,
                                     struct lorac_err *err)
{
    const char *key = NULL;
    json_t *rope = json_object_get(root->value, "rope_parameters");
    bool inside = strcmp(s->key, "rope_theta") == 0 && json_is_object(rope);
    struct lorac_json one = {0};
    struct lorac_buf text = {0};
    enum lorac_status st = lorac_config_key(&key, root, s->key, err);
    if (!st && !key) {
        st = lorac_fail(err, LORAC_EUSER,
                        "%s: has no effect: this architecture has nothing like it", s->key);
    }
    if (st) { return st; }
    if (strcmp(key, s->key) != 0) { (void)json_object_del(root->value, s->key); } // another name
    if (!s->value) {
        (void)json_object_del(root->value, key);
        return LORAC_OK;
    }
    lorac_buf_printf(&text, "{\"value\": %s}", s->value);
    st = text.no_memory ? no_memory(err) : lorac_json_parse(&one, text.at, text.n, s->key, err);
    if (!st) {
        json_t *value = json_incref(json_object_get(one.value, "value"));
        st = put(inside ? rope : root->value, key, value, err);
    }
    lorac_json_free(&one);
    lorac_buf_free(&text);
    return st;
}

/* A special token's id is a row of the embedding; *id SIZE_MAX where there is none. */
static enum lorac_status check_id(size_t *id, const struct init *g, const struct lorac_json *root,
                                  const char *key, struct lorac_err *err)
{
    struct lorac_json at = lorac_json_get(root, key);
    *id = SIZE_MAX;
    if (json_is_array(at.value)) { return LORAC_OK; } // of several ends; the tokenizer checks them
    return lorac_json_size(id, root, key, false, 0, g->config.V - 1, err);
}

static enum lorac_status complete(struct init *g, const char *config, struct lorac_err *err)
{
    const struct lorac_init_options *o = g->options;
    const char *file = o->name ? o->name : "config.json";
    struct lorac_json root = {0};
    size_t id = 0;
    enum lorac_status st = lorac_json_parse(&root, config, strlen(config), file, err);
    if (st) { return st; }
    g->json = root.value;
    if (!json_is_object(g->json)) {
        return lorac_fail(err, LORAC_EFORMAT, "%s: holds no JSON object", file);
    }
    for (size_t i = 0; i < o->n_set && !st; i++) {
        st = put_setting(&root, &o->set[i], err);
    }
    if (!st && o->tokenizer) { st = put_tokenizer(g->json, file, o->tokenizer, err); }
    if (!st) { st = lorac_config_read(&g->config, &root, err); }
    if (!st) { st = lorac_config_task(&g->config, LORAC_TASKS, 0, file, err); }
    if (!st) { st = check_id(&id, g, &root, "bos_token_id", err); }
    if (!st) { st = check_id(&id, g, &root, "eos_token_id", err); }
    if (!st) { st = check_id(&g->pad, g, &root, "pad_token_id", err); }
    if (!st) { st = lorac_json_number(&g->range, &root, "initializer_range", false, err); }
    if (!st && !(g->range > 0.0 && g->range <= 1.0)) {
        struct lorac_json at = lorac_json_get(&root, "initializer_range");
        st = lorac_json_fail(&at, "above 0 and at most 1", err);
    }
    if (!st) { st = put_defaults(g->json, &g->config, g->range, err); }
    if (!st) { st = put_types(g->json, &g->config, g->options->dtype, err); }
    return st;
}

/* ---- the tensors ---- */

/* One more tensor (rows,cols), or (rows) where cols is 0; there is room. */
static struct tensor *add(struct init *g, size_t rows, size_t cols, const char *module,
                          const char *kind)
{
    struct tensor *t = &g->tensors[g->n];
    char own[LORAC_NAME_SIZE];
    (void)snprintf(own, sizeof own, "%.200s.%.20s", module, kind);
    lorac_tensor_file_name(t->name, &g->config, own);
    t->std = cols ? g->range : 0.0;
    t->zero_row = SIZE_MAX;
    g->spec[g->n++] = (struct lorac_tensor_spec){
        .name = t->name, .dtype = g->options->dtype, .n_dims = cols ? 2 : 1, .dims = {rows, cols}};
    return t;
}

/* The vector's tensors: biases and shifts 0, gains what multiplies by 1. */
static void add_vector(struct init *g, const struct lorac_module *m)
{
    size_t parts = lorac_vector_parts(&g->config, m);
    for (size_t k = 0; k < parts; k++) {
        const char *name = lorac_vector_name(m, k);
        bool gain = strcmp(name, "weight") == 0;
        add(g, m->n / parts, 0, m->name, name)->constant =
            gain ? (float)(1.0 - g->config.norm_plus) : 0.0F;
    }
}

static void add_module(struct init *g, const struct lorac_module *m)
{
    bool tied = g->config.tie && g->config.task == LORAC_TASK_LM && m->role == LORAC_ROLE_HEAD;
    if (m->role != LORAC_ROLE_NORM && !tied) {
        bool turned = m->transposed;
        struct tensor *t = add(g, turned ? m->C : m->OC, turned ? m->OC : m->C, m->name, "weight");
        bool narrow = g->options->scale_residual || g->config.kind->residual_init;
        if (m->role == LORAC_ROLE_EMBEDDING) { t->zero_row = g->pad; }
        if (m->role == LORAC_ROLE_POSITIONS && g->config.position_offset > 0) {
            t->zero_row = g->config.position_offset - 1; // of padding
        }
        if (m->is_head && g->config.head_range > 0.0) { t->std = g->config.head_range; }
        if (m->residual && narrow) { t->std /= sqrt(2.0 * (double)g->config.L); }
    }
    add_vector(g, m);
}

/* The tensors that opening a model asks for, from the embedding up. */
static enum lorac_status list_tensors(struct init *g, struct lorac_err *err)
{
    struct lorac_module *module = NULL;
    uint32_t *step = NULL;
    size_t n = 0;
    enum lorac_status st = lorac_modules_list(&module, &n, &step, &g->config, err);
    if (st) { return st; }
    g->tensors = lorac_mem_new(2 * n, sizeof *g->tensors);
    g->spec = lorac_mem_new(2 * n, sizeof *g->spec);
    if (!g->tensors || !g->spec) { st = no_memory(err); }
    for (size_t i = 0; i < n && !st; i++) {
        add_module(g, &module[i]);
    }
    lorac_mem_free(module);
    lorac_mem_free(step);
    return st;
}

static size_t elements(const struct lorac_tensor_spec *t)
{
    return t->dims[0] * (t->n_dims == 2 ? t->dims[1] : 1); // at most 2^24 x 2^20
}

/* x (n) written: elements first .. first+n-1 of tensor i. */
static void draw(float *x, const struct init *g, size_t i, size_t first, size_t n)
{
    const struct tensor *t = &g->tensors[i];
    size_t C = g->spec[i].n_dims == 2 ? g->spec[i].dims[1] : 1;
    uint64_t key = lorac_rng_key(g->options->seed, t->name);
    for (size_t k = 0; k < n; k++) {
        size_t at = first + k;
        x[k] = t->constant;
        if (t->std > 0.0 && at / C != t->zero_row) {
            x[k] = (float)(t->std * lorac_draw_normal(&g->config, key, at));
        }
    }
}

/* lorac_fill_fn: the elements of tensor first + i, block by block. */
static enum lorac_status fill(void *self, void *to, size_t i, struct lorac_err *err)
{
    const struct init *g = self;
    const struct lorac_tensor_spec *t = &g->spec[g->first + i];
    size_t n = elements(t);
    float x[BLOCK];
    (void)err;
    for (size_t first = 0; first < n; first += BLOCK) {
        size_t part = n - first < BLOCK ? n - first : BLOCK;
        draw(x, g, g->first + i, first, part);
        lorac_dtype_encode((unsigned char *)to + lorac_dtype_bytes(t->dtype, first), x, t->dtype,
                           part);
    }
    return LORAC_OK;
}

static enum lorac_status compare(const struct init *g, const struct lorac_model *m,
                                 struct lorac_err *err)
{
    float x[BLOCK];
    unsigned char bytes[BLOCK * sizeof(float)];
    for (size_t i = 0; i < g->n; i++) {
        const struct lorac_tensor *got = lorac_checkpoint_find(m->files, g->tensors[i].name);
        bool same = got && got->dtype == g->options->dtype && got->n == elements(&g->spec[i]);
        for (size_t first = 0; same && first < got->n; first += BLOCK) {
            size_t part = got->n - first < BLOCK ? got->n - first : BLOCK;
            draw(x, g, i, first, part);
            lorac_dtype_encode(bytes, x, got->dtype, part);
            const char *at = (const char *)got->data + lorac_dtype_bytes(got->dtype, first);
            same = memcmp(at, bytes, lorac_dtype_bytes(got->dtype, part)) == 0;
        }
        if (!same) {
            return lorac_fail(err, LORAC_EIO, "%s: '%s' reads back with other values", m->dir,
                              g->tensors[i].name);
        }
    }
    return LORAC_OK;
}

/* ---- the files ---- */

static enum lorac_status write_json(const char *dir, const char *name, const json_t *json,
                                    struct lorac_err *err)
{
    struct lorac_buf b = {0};
    char path[LORAC_PATH];
    // 15 digits: every number that a person wrote comes back as it was
    lorac_json_text(&b, json, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(15));
    lorac_buf_str(&b, "\n");
    enum lorac_status st = b.no_memory
                               ? no_memory(err)
                               : lorac_file_write(lorac_path_in(path, dir, name), b.at, b.n, err);
    lorac_buf_free(&b);
    return st;
}

/* What generate() of transformers reads. */
static enum lorac_status write_generation(const struct init *g, const char *dir,
                                          struct lorac_err *err)
{
    static const char *const keys[] = {"bos_token_id", "eos_token_id", "pad_token_id"};
    json_t *json = json_object();
    enum lorac_status st = put(json, "_from_model_config", json_true(), err);
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !st; i++) {
        json_t *id = json_object_get(g->json, keys[i]);
        if (!json_is_null(id)) { st = put(json, keys[i], json_incref(id), err); }
    }
    if (!st) { st = write_json(dir, "generation_config.json", json, err); }
    json_decref(json);
    return st;
}

static enum lorac_status copy_tokenizer(const char *dir, const char *from, struct lorac_err *err)
{
    static const char *const names[] = {"tokenizer.json",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "vocab.json",
                                        "merges.txt",
                                        "vocab.txt",
                                        "added_tokens.json",
                                        "tokenizer.model",
                                        "chat_template.jinja"};
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names && !st; i++) {
        char source[LORAC_PATH];
        char copy[LORAC_PATH];
        if (!lorac_path_exists(lorac_path_in(source, from, names[i]))) { continue; }
        st = lorac_file_copy(lorac_path_in(copy, dir, names[i]), source, err);
    }
    return st;
}

/* The tensor behind the last one of the shard that begins with `first`. */
static size_t shard_end(const struct init *g, size_t first)
{
    size_t limit = g->options->shard_bytes ? g->options->shard_bytes : default_shard;
    size_t bytes = 0;
    size_t i = first;
    for (; i < g->n; i++) {
        size_t more = lorac_dtype_bytes(g->options->dtype, elements(&g->spec[i]));
        if (i > first && (more > limit || bytes > limit - more)) { break; }
        bytes += more;
    }
    return i;
}

struct shards {
    char (*file)[64];       // (n) of shards
    const char **of_tensor; // (tensors)
    const char **name;      // (tensors)
    size_t n;
};

static enum lorac_status list_shards(struct shards *s, const struct init *g, struct lorac_err *err)
{
    for (size_t i = 0; i < g->n; i = shard_end(g, i)) {
        s->n++;
    }
    s->file = lorac_mem_new(s->n, sizeof *s->file);
    s->of_tensor = lorac_mem_new(g->n, sizeof *s->of_tensor);
    s->name = lorac_mem_new(g->n, sizeof *s->name);
    if (!s->file || !s->of_tensor || !s->name) { return no_memory(err); }
    size_t end = 0;
    for (size_t k = 0; k < s->n; k++) {
        if (s->n == 1) {
            (void)snprintf(s->file[k], sizeof s->file[k], "model.safetensors");
        } else {
            (void)snprintf(s->file[k], sizeof s->file[k], "model-%05zu-of-%05zu.safetensors", k + 1,
                           s->n);
        }
        size_t i = end;
        for (end = shard_end(g, i); i < end; i++) {
            s->of_tensor[i] = s->file[k];
            s->name[i] = g->tensors[i].name;
        }
    }
    return LORAC_OK;
}

static enum lorac_status write_weights(struct init *g, const char *dir, struct lorac_err *err)
{
    struct shards s = {0};
    uint64_t total = 0;
    char path[LORAC_PATH];
    enum lorac_status st = list_shards(&s, g, err);
    g->first = 0;
    for (size_t k = 0; k < s.n && !st; k++) {
        size_t end = shard_end(g, g->first);
        st = lorac_safetensors_write(lorac_path_in(path, dir, s.file[k]), g->spec + g->first,
                                     end - g->first, NULL, 0, fill, g, err);
        g->first = end;
    }
    for (size_t i = 0; i < g->n; i++) {
        total += lorac_dtype_bytes(g->options->dtype, elements(&g->spec[i]));
    }
    if (!st && s.n > 1) {
        st = lorac_safetensors_index_write(lorac_path_in(path, dir, "model.safetensors.index.json"),
                                           s.name, s.of_tensor, g->n, total, err);
    }
    lorac_mem_free(s.file);
    lorac_mem_free(s.of_tensor);
    lorac_mem_free(s.name);
    return st;
}

/* ---- the whole ---- */

static enum lorac_status read_back(const struct init *g, const char *dir, struct lorac_err *err)
{
    struct lorac_device dev = {0};
    struct lorac_model *m = NULL;
    struct lorac_tokenizer *t = NULL;
    enum lorac_status st = lorac_device_open(&dev, "ref", 1, err);
    if (st) { return st; }
    const struct lorac_model_options options = {.task = LORAC_TASKS};
    st = lorac_model_open_for(&m, &dev, dir, &options, err);
    if (!st) { st = compare(g, m, err); }
    if (!st && g->options->tokenizer) { st = lorac_tokenizer_open(&t, dir, err); }
    lorac_tokenizer_free(t);
    lorac_model_close(m);
    lorac_device_close(&dev);
    return st;
}

static enum lorac_status write_all(struct init *g, const char *dir, struct lorac_err *err)
{
    enum lorac_status st = lorac_dir_remove(dir, err); // of a process that died with this number
    if (!st) { st = lorac_dir_make(dir, err); }
    if (!st) { st = write_json(dir, "config.json", g->json, err); }
    if (!st && g->options->tokenizer) { st = copy_tokenizer(dir, g->options->tokenizer, err); }
    if (!st && g->options->tokenizer) { st = write_generation(g, dir, err); }
    if (!st) { st = write_weights(g, dir, err); }
    return st ? st : read_back(g, dir, err);
}

enum lorac_status lorac_model_init(const char *out, const char *config,
                                   const struct lorac_init_options *options, struct lorac_err *err)
{
    struct init *g = NULL;
    char *to = NULL;
    char *temp = NULL;
    enum lorac_status st = lorac_sibling(&to, &temp, out, err);
    if (!st && !lorac_dir_is_empty(to)) {
        st = lorac_fail(err, LORAC_EUSER, "%s: exists and is not an empty folder", to);
    }
    if (st) { goto done; }
    g = lorac_mem_new(1, sizeof *g);
    if (!g) {
        st = no_memory(err);
        goto done;
    }
    g->options = options;
    g->range = default_range;
    st = complete(g, config, err);
    if (!st) { st = list_tensors(g, err); }
    if (st) { goto done; }
    st = write_all(g, temp, err);
    if (!st) { st = lorac_dir_replace(to, temp, err); }
    if (st) { lorac_discard(temp); }
done:
    if (g) {
        json_decref(g->json);
        lorac_mem_free(g->tensors);
        lorac_mem_free(g->spec);
        lorac_mem_free(g);
    }
    lorac_mem_free(to);
    lorac_mem_free(temp);
    return st;
}
