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

/* The options as settings: numbers in the way of JSON. */
struct settings {
    struct lorac_init_setting at[N_SHAPES + 2];
    size_t n;
    char number[N_SHAPES][32];
};

static enum lorac_status put_shape(struct settings *s, size_t i, const struct args *a,
                                   struct lorac_err *err)
{
    const struct shape *shape = &shapes[i];
    char *text = s->number[i];
    size_t n = 0;
    double x = 0.0;
    if (!args_has(a, shape->option)) { return LORAC_OK; }
    enum lorac_status st = shape->real ? args_number(&x, a, shape->option, 0.0, 1e15, err)
                                       : args_count(&n, a, shape->option, err);
    (void)(shape->real ? snprintf(text, sizeof s->number[i], "%.16e", x)
                       : snprintf(text, sizeof s->number[i], "%zu", n));
    s->at[s->n++] = (struct lorac_init_setting){shape->key, text};
    return st;
}

static enum lorac_status read_settings(struct settings *s, const struct args *a,
                                       struct lorac_err *err)
{
    const char *tie = args_text(a, "--tie-word-embeddings", NULL);
    enum lorac_status st = LORAC_OK;
    if (args_has(a, "--tokenizer")) { // its size, unless --vocab-size says otherwise
        s->at[s->n++] = (struct lorac_init_setting){"vocab_size", NULL};
    }
    for (size_t i = 0; i < N_SHAPES && !st; i++) {
        st = put_shape(s, i, a, err);
    }
    if (!st && tie && strcmp(tie, "true") != 0 && strcmp(tie, "false") != 0) {
        st = lorac_fail(err, LORAC_EUSER, "--tie-word-embeddings must be true or false, found '%s'",
                        tie);
    }
    if (tie) { s->at[s->n++] = (struct lorac_init_setting){"tie_word_embeddings", tie}; }
    return st;
}

/* The file's configuration, or an empty one of --arch. */
static enum lorac_status read_config(struct lorac_buf *text, const struct args *a,
                                     struct lorac_err *err)
{
    const char *file = args_text(a, "--config", NULL);
    const char *type = args_text(a, "--arch", NULL);
    if (!file == !type) {
        return lorac_fail(err, LORAC_EUSER, "init needs --config FILE or --arch NAME, one of them");
    }
    if (file) { return lorac_file_read(&text->at, &text->n, file, CONFIG_LIMIT, err); }
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
    lorac_buf_printf(text, "{\"architectures\": [\"%s\"]}", arch);
    return text->no_memory ? lorac_fail(err, LORAC_ENOMEM, "no memory") : LORAC_OK;
}

static enum lorac_status make(const struct args *a, struct lorac_err *err)
{
    enum lorac_dtype dtype = LORAC_F32;
    struct lorac_buf config = {0};
    struct settings set = {0};
    size_t seed = 0;
    (void)lorac_dtype_find_torch(&dtype, args_text(a, "--dtype", "float32")); // a TYPE: it is one
    enum lorac_status st = args_count(&seed, a, "--seed", err);
    if (!st) { st = read_config(&config, a, err); }
    if (!st) { st = read_settings(&set, a, err); }
    const struct lorac_init_options o = {.name = args_text(a, "--config", "the options"),
                                         .set = set.at,
                                         .n_set = set.n,
                                         .tokenizer = args_text(a, "--tokenizer", NULL),
                                         .dtype = dtype,
                                         .seed = seed,
                                         .scale_residual = args_has(a, "--scale-residual")};
    if (!st) { st = lorac_model_init(args_text(a, "--out", ""), config.at, &o, err); }
    lorac_buf_free(&config);
    return st;
}

/* transformers reads the tokenizer of a qwen2 or qwen3 folder with rules of its own, whatever its
 * tokenizer.json says. */
static enum lorac_status note_tokenizer(const struct lorac_model *m, struct lorac_err *err)
{
    static const char own[] = "Qwen2Tokenizer";
    const char *type = lorac_arch_type(m->config.arch);
    struct lorac_buf class = {0};
    enum lorac_status st = lorac_tokenizer_class(&class, m->dir, err);
    if (!st && type && strncmp(type, "qwen", 4) == 0 &&
        (!class.at || strncmp(class.at, own, strlen(own)) != 0)) {
        fprintf(
            stderr,
            "note: transformers takes Qwen2's own normalizer and pattern for the tokenizer of a "
            "qwen2 or qwen3 folder, whatever its tokenizer.json says: it will split some texts "
            "otherwise than lorac; --arch llama and mistral have no such rule\n");
    }
    lorac_buf_free(&class);
    return st;
}

static enum lorac_status show(const struct args *a, struct lorac_err *err)
{
    struct lorac_device dev;
    struct lorac_model *m = NULL;
    char count[32];
    char class[LORAC_CLASS_NAME];
    const struct lorac_model_options o = {.task = LORAC_TASKS};
    const char *out = args_text(a, "--out", "");
    enum lorac_status st = lorac_device_outline(&dev, NULL, 1, err);
    if (st) { return st; }
    st = lorac_model_open_for(&m, &dev, out, &o, err);
    if (!st && args_has(a, "--json")) {
        struct out j = {0};
        out_str(&j, "out", out);
        out_str(&j, "architecture", lorac_config_class(class, &m->config));
        out_count(&j, "parameters", lorac_model_parameters(m));
        out_count(&j, "vocab_size", m->config.V);
        out_str(&j, "fingerprint", m->fingerprint);
        (void)out_print(&j);
    } else if (!st) {
        printf(
            "%s: a random %s of %s parameters, %zu layers of width %zu, vocabulary %zu; read back "
            "and compared\n",
            out, lorac_config_class(class, &m->config),
            show_count(count, lorac_model_parameters(m)), m->config.L, m->config.C, m->config.V);
    }
    if (!st && args_has(a, "--tokenizer")) { st = note_tokenizer(m, err); }
    lorac_model_close(m);
    lorac_device_close(&dev);
    return st;
}

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    enum lorac_status st = make(a, &err);
    if (!st) { st = show(a, &err); }
    return st ? complain(&err) : 0;
}

static const struct option options[] = {
    {"--out", "DIR", "the new model's folder", true, false},
    {"--config", "FILE", "a config.json to follow; the options below change it", false, false},
    {"--arch", "NAME",
     "without --config: llama, mistral, qwen2, qwen3, gemma3_text, gpt2, gpt_neox, bert, roberta, "
     "distilbert or modernbert",
     false, false},
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
        "  lorac init --out small --arch llama --tokenizer DIR --hidden-size 192 \\\n"
        "    --num-hidden-layers 6 \\\n"
        "    --num-attention-heads 6 --num-key-value-heads 2 --intermediate-size 512 \\\n"
        "    --max-position-embeddings 512 --tie-word-embeddings true\n"
        "  lorac init --out like-smollm2 --config SmolLM2-135M/config.json \\\n"
        "    --num-hidden-layers 4\n\n"
        "Options are named like the keys of config.json. Matrices are N(0, initializer_range), "
        "gains of norms 1, biases 0, as in transformers. Each number depends on the seed, its "
        "tensor's name and its place.\n",
    .options = options,
    .run = run,
};
