/* classes.c - a folder without tokenizer.json: what a class of transformers builds around
 * vocab.json and merges.txt. */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/tokenizer/impl.h"

#include <stdio.h>
#include <string.h>

static const char gpt2_frame[] =
    "{\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false},"
    " \"decoder\": {\"type\": \"ByteLevel\"}, \"model\": {\"type\": \"BPE\"}}";
static const char neox_frame[] =
    "{\"normalizer\": {\"type\": \"NFC\"},"
    " \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false},"
    " \"decoder\": {\"type\": \"ByteLevel\"}, \"model\": {\"type\": \"BPE\"}}";
static const char qwen2_frame[] =
    "{\"normalizer\": {\"type\": \"NFC\"},"
    " \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": ["
    "  {\"type\": \"Split\", \"behavior\": \"Isolated\", \"invert\": false, \"pattern\": "
    "{\"Regex\":"
    "   \"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}"
    "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"}},"
    "  {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}]},"
    " \"decoder\": {\"type\": \"ByteLevel\"}, \"model\": {\"type\": \"BPE\"}}";

#define END "<|endoftext|>"
/* models/gpt2, qwen2 and gpt_neox, and TOKENIZER_MAPPING_NAMES of models/auto of transformers 5. */
static const struct lorac_class classes[] = {
    {"GPT2Tokenizer", {"gpt2"}, gpt2_frame, END, END, NULL},
    {"Qwen2Tokenizer", {"qwen2", "qwen3"}, qwen2_frame, NULL, END, END},
    {"GPTNeoXTokenizer", {"gpt_neox"}, neox_frame, END, END, "<|padding|>"},
};
enum { CLASSES = sizeof classes / sizeof *classes };

static const struct lorac_class *class_named(const char *name)
{
    for (size_t i = 0; name && i < CLASSES; i++) {
        size_t n = strlen(classes[i].name);
        bool begins = strncmp(name, classes[i].name, n) == 0;
        if (begins && (!name[n] || strcmp(name + n, "Fast") == 0)) { return &classes[i]; }
    }
    return NULL;
}

static const struct lorac_class *class_of_type(const char *type)
{
    for (size_t i = 0; type && i < CLASSES; i++) {
        for (const char *const *t = classes[i].types; *t; t++) {
            if (strcmp(*t, type) == 0) { return &classes[i]; }
        }
    }
    return NULL;
}

/* As AutoTokenizer: the class of tokenizer_config.json, of config.json, or what its model_type
 * stands for, which counts first for qwen2, where files are known to name others. */
static enum lorac_status pick_class(const struct lorac_class **out, const struct lorac_json *config,
                                    const struct lorac_json *model, const char *dir,
                                    struct lorac_err *err)
{
    const char *name = NULL;
    const char *type = NULL;
    bool prefix = false;
    enum lorac_status st = lorac_json_string(&name, model, "tokenizer_class", false, err);
    if (!st) { st = lorac_json_string(&name, config, "tokenizer_class", false, err); }
    if (!st) { st = lorac_json_string(&type, model, "model_type", false, err); }
    if (!st) { st = lorac_json_bool(&prefix, config, "add_prefix_space", false, err); }
    if (st) { return st; }
    bool first = !name || (type && strcmp(type, "qwen2") == 0);
    *out = first ? class_of_type(type) : class_named(name);
    if (*out && !prefix) { return LORAC_OK; }
    return lorac_fail(
        err, LORAC_ENOTSUP,
        "%s: has no tokenizer.json; vocab.json and merges.txt are read for the classes "
        "GPT2Tokenizer, Qwen2Tokenizer and GPTNeoXTokenizer without add_prefix_space, %s %.60s",
        dir, name ? "the folder names" : "config.json's model_type is",
        name   ? name
        : type ? type
               : "not there");
}

/* The lines of merges.txt as a JSON list. */
static enum lorac_status read_merges_txt(json_t **out, const char *path, struct lorac_err *err)
{
    char *text = NULL;
    size_t n = 0;
    json_t *list = json_array();
    enum lorac_status st = lorac_file_read(&text, &n, path, TOK_MAX_JSON, err);
    if (!st && !list) { st = lorac_no_memory(err); }
    for (size_t i = 0, line = 1; !st && i < n; line++) {
        const char *s = text + i;
        const char *newline = memchr(s, '\n', n - i);
        size_t len = newline ? (size_t)(newline - s) : n - i;
        i += len + 1;
        if (len && s[len - 1] == '\r') { len--; }
        if (len >= 8 && memcmp(s, "#version", 8) == 0) { continue; }
        if (lorac_utf8_check(s, len) < len) {
            st = lorac_fail(err, LORAC_EFORMAT, "%s:%zu: is not UTF-8", path, line);
        } else if (json_array_append_new(list, json_stringn(s, len))) {
            st = lorac_no_memory(err);
        }
    }
    lorac_mem_free(text);
    if (st) {
        json_decref(list);
        list = NULL;
    }
    *out = list;
    return st;
}

/* added_tokens.json, the oldest form: text -> id. Only where tokenizer_config.json has none. */
static enum lorac_status read_added_txt(json_t *frame, const struct lorac_json *added,
                                        struct lorac_err *err)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_t *list = json_array();
    if (!list || json_object_set_new(frame, "added_tokens", list)) { return lorac_no_memory(err); }
    json_object_foreach(added->value, key, value)
    {
        json_t *one = json_pack("{s:s, s:O, s:b, s:b}", "content", key, "id", value, "normalized",
                                0, "special", 0);
        if (!one || json_array_append_new(list, one)) { return lorac_no_memory(err); }
    }
    return LORAC_OK;
}

enum lorac_status lorac_read_vocab_files(struct lorac_tokenizer *t,
                                         const struct lorac_class **class, const char *dir,
                                         struct lorac_err *err)
{
    struct lorac_json config = {0};
    struct lorac_json top = {0}; // config.json
    struct lorac_json vocab = {0};
    struct lorac_json added = {0};
    struct lorac_json root = {0};
    char *paths[5] = {0};
    json_t *merges = NULL;
    json_t *model = NULL;
    enum lorac_status st = lorac_read_file(&config, &paths[0], dir, "tokenizer_config.json", err);
    if (!st) { st = lorac_read_file(&top, &paths[4], dir, "config.json", err); }
    if (!st) { st = pick_class(class, &config, &top, dir, err); }
    if (!st) { st = lorac_read_file(&vocab, &paths[1], dir, "vocab.json", err); }
    if (!st) { st = lorac_read_file(&added, &paths[2], dir, "added_tokens.json", err); }
    if (st) { goto done; }
    paths[3] = lorac_path_join(dir, "merges.txt");
    st = paths[3] ? read_merges_txt(&merges, paths[3], err) : lorac_no_memory(err);
    if (!st) {
        const char *frame = (*class)->frame;
        st = lorac_json_parse(&root, frame, strlen(frame), dir, err);
    }
    model = json_object_get(root.value, "model");
    if (!st && (json_object_set(model, "vocab", vocab.value) ||
                json_object_set(model, "merges", merges))) {
        st = lorac_no_memory(err);
    }
    if (!st && added.value && !json_object_get(config.value, "added_tokens_decoder")) {
        st = read_added_txt(root.value, &added, err);
    }
    if (!st) { st = lorac_read_tokenizer(t, &root, err); }
done:
    lorac_json_free(&root);
    lorac_json_free(&config);
    lorac_json_free(&top);
    lorac_json_free(&vocab);
    lorac_json_free(&added);
    json_decref(merges);
    for (size_t i = 0; i < 5; i++) {
        lorac_mem_free(paths[i]);
    }
    return st;
}
