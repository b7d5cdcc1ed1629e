/* cmd_init.c - `lorac init`: a new model folder with random weights. */
#include "tools/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_LIMIT = 1 << 20 };

/* Options that are keys of config.json, and what they hold. */
static const struct shape {
    const char *option, *key;
    bool real; // else a whole number
} shapes[] = {
    {"--vocab-size", "vocab_size", false},
    {"--hidden-size", "hidden_size", false},
    {"--num-hidden-layers", "num_hidden_layers", false},
    {"--num-attention-heads", "num_attention_heads", false},
    {"--num-key-value-heads", "num_key_value_heads", false},
    {"--head-dim", "head_dim", false},
    {"--intermediate-size", "intermediate_size", false},
    {"--max-position-embeddings", "max_position_embeddings", false},
    {"--rope-theta", "rope_theta", true},
    {"--rms-norm-eps", "rms_norm_eps", true},
    {"--initializer-range", "initializer_range", true},
};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

static enum lorac_status no_memory(struct lorac_err *err)
{
    return lorac_fail(err, LORAC_ENOMEM, "no memory");
}

static enum lorac_status put_shape(const struct lorac_json *root, const struct shape *s,
                                   const struct args *a, struct lorac_err *err)
{
    const char *key = NULL;
    json_t *config = root->value;
    size_t n = 0;
    double x = 0.0;
    if (!args_has(a, s->option)) { return LORAC_OK; }
    enum lorac_status st =
        s->real ? args_number(&x, a, s->option, 0.0, 1e15, err) : args_count(&n, a, s->option, err);
    if (!st) { st = lorac_config_key(&key, root, s->key, err); }
    if (st) { return st; }
    if (!key) {
        return lorac_fail(err, LORAC_EUSER, "%s: has no effect: this architecture has no %s",
                          s->option, s->key);
    }
    json_t *rope = json_object_get(config, "rope_parameters"); // where transformers 5 has the base
    bool inside = strcmp(s->key, "rope_theta") == 0 && json_is_object(rope);
    json_t *value = s->real ? json_real(x) : json_integer((json_int_t)n);
    return json_object_set_new(inside ? rope : config, key, value) ? no_memory(err) : LORAC_OK;
}

/* The file's configuration, or an empty one of --arch. */
static enum lorac_status begin(struct lorac_json *root, const struct args *a, struct lorac_err *err)
{
    const char *file = args_text(a, "--config", NULL);
    const char *type = args_text(a, "--arch", NULL);
    if (!file == !type) {
        return lorac_fail(err, LORAC_EUSER, "init needs --config FILE or --arch NAME, one of them");
    }
    if (file) { return lorac_json_load(root, file, CONFIG_LIMIT, err); }
    const char *arch = lorac_arch_of_type(type);
    if (!arch) {
        struct lorac_buf known = {0};
        lorac_arch_types(&known);
        enum lorac_status st =
            lorac_fail(err, LORAC_EUSER, "--arch %s: is not known; supported are %s", type,
                       known.at ? known.at : "?");
        lorac_buf_free(&known);
        return st;
    }
    *root = (struct lorac_json){.file = "the options",
                                .value = json_pack("{s:[s]}", "architectures", arch)};
    return root->value ? LORAC_OK : no_memory(err);
}

static enum lorac_status make_config(struct lorac_json *root, const struct args *a,
                                     struct lorac_err *err)
{
    enum lorac_status st = begin(root, a, err);
    if (!st && args_has(a, "--tokenizer")) { // its size, unless --vocab-size says otherwise
        (void)json_object_del(root->value, "vocab_size");
    }
    for (size_t i = 0; i < N_SHAPES && !st; i++) {
        st = put_shape(root, &shapes[i], a, err);
    }
    const char *tie = args_text(a, "--tie-word-embeddings", NULL);
    if (st || !tie) { return st; }
    bool yes = strcmp(tie, "true") == 0;
    if (!yes && strcmp(tie, "false") != 0) {
        return lorac_fail(err, LORAC_EUSER,
                          "--tie-word-embeddings must be true or false, found '%s'", tie);
    }
    return json_object_set_new(root->value, "tie_word_embeddings", json_boolean(yes))
               ? no_memory(err)
               : LORAC_OK;
}

static enum lorac_status read_options(struct lorac_init_options *o, const struct args *a,
                                      struct lorac_err *err)
{
    enum lorac_dtype dtype = LORAC_F32;
    size_t seed = 0;
    (void)lorac_dtype_find_torch(&dtype, args_text(a, "--dtype", "float32")); // a TYPE: it is one
    enum lorac_status st = args_count(&seed, a, "--seed", err);
    *o = (struct lorac_init_options){.tokenizer = args_text(a, "--tokenizer", NULL),
                                     .dtype = dtype,
                                     .seed = seed,
                                     .scale_residual = args_has(a, "--scale-residual")};
    return st;
}

static enum lorac_status show(const struct args *a, struct lorac_err *err)
{
    struct lorac_device dev;
    struct lorac_model *m = NULL;
    char count[32];
    const char *out = args_text(a, "--out", "");
    enum lorac_status st = lorac_device_outline(&dev, NULL, 1, err);
    if (st) { return st; }
    st = lorac_model_open(&m, &dev, out, err);
    if (!st && args_has(a, "--json")) {
        struct out j = {0};
        out_text(&j, "out", out, strlen(out));
        out_text(&j, "architecture", m->config.arch, strlen(m->config.arch));
        out_count(&j, "parameters", lorac_model_parameters(m));
        out_count(&j, "vocab_size", m->config.V);
        out_text(&j, "fingerprint", m->fingerprint, strlen(m->fingerprint));
        (void)out_print(&j);
    } else if (!st) {
        printf(
            "%s: a random %s of %s parameters, %zu layers of width %zu, vocabulary %zu; read back "
            "and compared\n",
            out, m->config.arch, show_count(count, lorac_model_parameters(m)), m->config.L,
            m->config.C, m->config.V);
    }
    lorac_model_close(m);
    lorac_device_close(&dev);
    return st;
}

/* transformers reads the tokenizer of a qwen2 or qwen3 folder with rules of its own, whatever its
 * tokenizer.json says. */
static enum lorac_status note_tokenizer(const struct args *a, struct lorac_err *err)
{
    enum { LIMIT = 1 << 20 };
    static const char own[] = "Qwen2Tokenizer";
    const char *out = args_text(a, "--out", "");
    const char *type = "";
    const char *class = "";
    struct lorac_json config = {0};
    struct lorac_json tokenizer = {0};
    char *path = lorac_path_join(out, "config.json");
    char *settings = lorac_path_join(out, "tokenizer_config.json");
    enum lorac_status st =
        path && settings ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "%s: no memory", out);
    bool there = !st && args_has(a, "--tokenizer");
    if (there) { st = lorac_json_load(&config, path, LIMIT, err); }
    if (there && !st) { st = lorac_json_string(&type, &config, "model_type", false, err); }
    if (there && !st && lorac_path_exists(settings)) {
        st = lorac_json_load(&tokenizer, settings, LIMIT, err);
        if (!st) { st = lorac_json_string(&class, &tokenizer, "tokenizer_class", false, err); }
    }
    if (there && !st && strncmp(type, "qwen", 4) == 0 && strncmp(class, own, strlen(own)) != 0) {
        fprintf(
            stderr,
            "note: transformers takes Qwen2's own normalizer and pattern for the tokenizer of a qwen2 or qwen3 folder, "
            "whatever its tokenizer.json says: it will split some texts otherwise than lorac; --arch llama "
            "and mistral have no such rule\n");
    }
    lorac_json_free(&tokenizer);
    lorac_json_free(&config);
    lorac_mem_free(settings);
    lorac_mem_free(path);
    return st;
}

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    struct lorac_json config = {0};
    struct lorac_init_options options = {0};
    enum lorac_status st = read_options(&options, a, &err);
    if (!st) { st = make_config(&config, a, &err); }
    if (!st) { st = lorac_model_init(args_text(a, "--out", ""), &config, &options, &err); }
    if (!st) { st = show(a, &err); }
    if (!st) { st = note_tokenizer(a, &err); }
    lorac_json_free(&config);
    return st ? complain(&err) : 0;
}

static const struct option options[] = {
    {"--out", "DIR", "the new model's folder", true, false},
    {"--config", "FILE", "a config.json to follow; the options below change it", false, false},
    {"--arch", "NAME",
     "without --config: llama, mistral, qwen2, qwen3, gemma3_text, gpt2 or gpt_neox", false, false},
    {"--tokenizer", "DIR", "copy its tokenizer; sets vocab_size and the special ids", false, false},
    {"--vocab-size", "N", "tokens (default with --tokenizer: its own)", false, false},
    {"--hidden-size", "N", "width of the residual stream", false, false},
    {"--num-hidden-layers", "N", "layers", false, false},
    {"--num-attention-heads", "N", "query heads", false, false},
    {"--num-key-value-heads", "N", "key/value heads (default: as many)", false, false},
    {"--head-dim", "N", "size of a head (default: hidden size / heads)", false, false},
    {"--intermediate-size", "N", "width of the MLP", false, false},
    {"--max-position-embeddings", "N", "longest context (default: the architecture's)", false,
     false},
    {"--rope-theta", "X", "base of the rotary frequencies (default 10000)", false, false},
    {"--rms-norm-eps", "X", "epsilon of the norms (default 1e-6)", false, false},
    {"--tie-word-embeddings", "BOOL", "true: the output shares the embedding's matrix", false,
     false},
    {"--initializer-range", "X", "standard deviation of matrices (default 0.02)", false, false},
    {"--scale-residual", NULL, "divide it by sqrt(2 layers) in o_proj and down_proj", false, false},
    {"--dtype", "TYPE", "float32 (default), bfloat16 or float16", false, false},
    {"--seed", "N", "of the random numbers (default 0)", false, false},
    {"--json", NULL, "print one JSON object", false, false},
    {0},
};

const struct verb verb_init = {
    .name = "init",
    .usage = "--out DIR (--config FILE | --arch NAME --hidden-size N ...) [options]",
    .summary = "make a new model with random weights",
    .about =
        "  lorac init --out small --arch llama --tokenizer DIR --hidden-size 192 --num-hidden-layers 6 \\\n"
        "    --num-attention-heads 6 --num-key-value-heads 2 --intermediate-size 512 \\\n"
        "    --max-position-embeddings 512 --tie-word-embeddings true\n"
        "  lorac init --out like-smollm2 --config SmolLM2-135M/config.json --num-hidden-layers 4\n\n"
        "Options are named like the keys of config.json. Matrices are N(0, initializer_range), gains of norms\n"
        "1, biases 0, as in transformers. Each number depends on the seed, its tensor's name and its place.\n",
    .options = options,
    .run = run,
};
