/* classes.c - a folder without tokenizer.json: what a class of transformers builds around
 * vocab.json and merges.txt, or vocab.txt. */
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

static const char bert_frame[] = "{\"normalizer\": {\"type\": \"BertNormalizer\"},"
                                 " \"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"},"
                                 " \"decoder\": {\"type\": \"WordPiece\", \"prefix\": \"##\"},"
                                 " \"model\": {\"type\": \"WordPiece\"}}";

#define END "<|endoftext|>"
#define BERT_NAMES                                               \
    {                                                            \
        NULL, NULL, "[UNK]", "[PAD]", "[SEP]", "[CLS]", "[MASK]" \
    }
/* models/gpt2, qwen2, gpt_neox, bert and roberta, and TOKENIZER_MAPPING_NAMES of models/auto of
 * transformers 5. */
static const struct lorac_class classes[] = {
    {"GPT2Tokenizer", {"gpt2"}, gpt2_frame, NULL, false, {END, END, END}},
    {"Qwen2Tokenizer", {"qwen2", "qwen3"}, qwen2_frame, NULL, false, {NULL, END, END, END}},
    {"GPTNeoXTokenizer", {"gpt_neox"}, neox_frame, NULL, false, {END, END, END, "<|padding|>"}},
    {"RobertaTokenizer",
     {"roberta"},
     gpt2_frame,
     "RobertaProcessing",
     false,
     {"<s>", "</s>", "<unk>", "<pad>", "</s>", "<s>", "<mask>"}},
    {"BertTokenizer", {"bert", "distilbert"}, bert_frame, "BertProcessing", true, BERT_NAMES},
    {"DistilBertTokenizer", {NULL}, bert_frame, "BertProcessing", true, BERT_NAMES},
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
 * stands for, which counts first for qwen2, where files are known to name others. names: the class
 * and the type; NULL: not there. *out NULL: none of the table. */
static enum lorac_status find_class(const struct lorac_class **out, const char *names[2],
                                    const struct lorac_json *config, const struct lorac_json *model,
                                    struct lorac_err *err)
{
    names[0] = names[1] = NULL;
    enum lorac_status st = lorac_json_string(&names[0], model, "tokenizer_class", false, err);
    if (!st) { st = lorac_json_string(&names[0], config, "tokenizer_class", false, err); }
    if (!st) { st = lorac_json_string(&names[1], model, "model_type", false, err); }
    if (st) { return st; }
    bool first = !names[0] || (names[1] && strcmp(names[1], "qwen2") == 0);
    *out = first ? class_of_type(names[1]) : class_named(names[0]);
    return LORAC_OK;
}

static enum lorac_status pick_class(const struct lorac_class **out, const struct lorac_json *config,
                                    const struct lorac_json *model, const char *dir,
                                    struct lorac_err *err)
{
    const char *names[2];
    bool prefix = false;
    enum lorac_status st = find_class(out, names, config, model, err);
    if (!st) { st = lorac_json_bool(&prefix, config, "add_prefix_space", false, err); }
    if (st || (*out && !prefix)) { return st; }
    const char *name = names[0] ? names[0] : names[1];
    return lorac_fail(
        err, LORAC_ENOTSUP,
        "%s: has no tokenizer.json; vocab.json and merges.txt are read for the classes "
        "GPT2Tokenizer, Qwen2Tokenizer, GPTNeoXTokenizer and RobertaTokenizer without "
        "add_prefix_space, vocab.txt for BertTokenizer and DistilBertTokenizer, %s %.60s",
        dir, names[0] ? "the folder names" : "config.json's model_type is",
        name ? name : "not there");
}

/* Called with each line, without its end. */
typedef int line_fn(json_t *into, const char *s, size_t n, size_t line);

static int add_merge(json_t *list, const char *s, size_t n, size_t line)
{
    (void)line;
    if (n >= 8 && memcmp(s, "#version", 8) == 0) { return 0; }
    return json_array_append_new(list, json_stringn(s, n));
}

/* The number of a token is that of its line; of equal ones the last counts. */
static int add_token(json_t *vocab, const char *s, size_t n, size_t line)
{
    return json_object_setn_new(vocab, s, n, json_integer((json_int_t)line - 1));
}

/* The lines of a text file, into a JSON list or object. */
static enum lorac_status read_lines(json_t *into, line_fn *add, const char *path,
                                    struct lorac_err *err)
{
    char *text = NULL;
    size_t n = 0;
    enum lorac_status st = lorac_file_read(&text, &n, path, TOK_MAX_JSON, err);
    if (!st && !into) { st = lorac_no_memory(err); }
    for (size_t i = 0, line = 1; !st && i < n; line++) {
        const char *s = text + i;
        const char *newline = memchr(s, '\n', n - i);
        size_t len = newline ? (size_t)(newline - s) : n - i;
        i += len + 1;
        if (len && s[len - 1] == '\r') { len--; }
        if (lorac_utf8_check(s, len) < len || memchr(s, 0, len)) {
            st = lorac_fail(err, LORAC_EFORMAT, "%s:%zu: is not UTF-8", path, line);
        } else if (add(into, s, len, line)) {
            st = lorac_no_memory(err);
        }
    }
    lorac_mem_free(text);
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

/* What BertTokenizer takes of tokenizer_config.json; *changed: the last key that says otherwise
 * than the normaliser did. */
static enum lorac_status set_bert(const char **changed, json_t *frame,
                                  const struct lorac_json *config, struct lorac_err *err)
{
    static const char *const keys[][2] = {{"do_lower_case", "lowercase"},
                                          {"tokenize_chinese_chars", "handle_chinese_chars"},
                                          {"strip_accents", "strip_accents"}};
    json_t *norm = json_object_get(frame, "normalizer");
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !st; i++) {
        json_t *value = json_object_get(config->value, keys[i][0]);
        bool is = false;
        st = lorac_json_bool(&is, config, keys[i][0], false, err);
        if (st || !value) { continue; }
        if (!json_equal(value, json_object_get(norm, keys[i][1]))) { *changed = keys[i][0]; }
        if (json_object_set(norm, keys[i][1], value)) { st = lorac_no_memory(err); }
    }
    return st;
}

enum lorac_status lorac_read_bert_keys(struct lorac_tokenizer *t, struct lorac_json *root,
                                       const char *dir, struct lorac_err *err)
{
    struct lorac_json config = {0};
    struct lorac_json top = {0}; // config.json
    const struct lorac_class *class = NULL;
    const char *changed = NULL;
    const char *names[2];
    char paths[2][LORAC_PATH];
    const json_t *norm = json_object_get(root->value, "normalizer");
    const char *type = json_string_value(json_object_get(norm, "type"));
    if (!type || strcmp(type, "BertNormalizer") != 0) { return LORAC_OK; }
    enum lorac_status st = lorac_read_file(&config, paths[0], dir, "tokenizer_config.json", err);
    if (!st) { st = lorac_read_file(&top, paths[1], dir, "config.json", err); }
    if (!st) { st = find_class(&class, names, &config, &top, err); }
    if (!st && class && class->lines) { st = set_bert(&changed, root->value, &config, err); }
    if (!st && changed) {
        (void)snprintf(t->note, sizeof t->note,
                       "tokenizer_config.json: %s says otherwise than the normalizer of "
                       "tokenizer.json, and counts, as in transformers",
                       changed);
    }
    lorac_json_free(&config);
    lorac_json_free(&top);
    return st;
}

/* The name of a special token: the folder's, or the class's. */
static const char *name_of(const struct lorac_class *class, const json_t *config, size_t which)
{
    const json_t *at = json_object_get(config, lorac_special_names[which]);
    const char *name = json_string_value(json_is_object(at) ? json_object_get(at, "content") : at);
    return name ? name : class->named[which];
}

/* {"type": "BertProcessing", "sep": ["[SEP]", 102], "cls": ["[CLS]", 101]}; the model's unknown
 * token. */
static enum lorac_status set_post(json_t *frame, const struct lorac_class *class,
                                  const json_t *config, const json_t *vocab, struct lorac_err *err)
{
    const char *sep = name_of(class, config, TOK_SEP);
    const char *cls = name_of(class, config, TOK_CLS);
    const char *unk = name_of(class, config, TOK_UNK);
    json_t *post = json_pack("{s:s, s:[s, O?], s:[s, O?]}", "type", class->post, "sep", sep,
                             json_object_get(vocab, sep), "cls", cls, json_object_get(vocab, cls));
    json_t *model = json_object_get(frame, "model");
    bool failed = json_object_set_new(frame, "post_processor", post) != 0;
    if (class->lines) { failed |= json_object_set_new(model, "unk_token", json_string(unk)) != 0; }
    return failed ? lorac_no_memory(err) : LORAC_OK;
}

/* The vocabulary and, of a BPE, the merges. */
static enum lorac_status read_model_files(json_t *model, const struct lorac_class *class,
                                          const char *dir, struct lorac_err *err)
{
    struct lorac_json vocab = {0};
    char path[LORAC_PATH];
    json_t *list = class->lines ? json_object() : json_array();
    lorac_path_in(path, dir, class->lines ? "vocab.txt" : "merges.txt");
    enum lorac_status st = read_lines(list, class->lines ? add_token : add_merge, path, err);
    if (!st && !class->lines) { st = lorac_read_file(&vocab, path, dir, "vocab.json", err); }
    if (!st && (json_object_set(model, class->lines ? "vocab" : "merges", list) ||
                (vocab.value && json_object_set(model, "vocab", vocab.value)))) {
        st = lorac_no_memory(err);
    }
    lorac_json_free(&vocab);
    json_decref(list);
    return st;
}

enum lorac_status lorac_read_vocab_files(struct lorac_tokenizer *t,
                                         const struct lorac_class **class, const char *dir,
                                         struct lorac_err *err)
{
    struct lorac_json config = {0};
    struct lorac_json top = {0}; // config.json
    struct lorac_json added = {0};
    struct lorac_json root = {0};
    const char *changed = NULL; // of the class's own, which nobody chose
    char paths[3][LORAC_PATH];
    enum lorac_status st = lorac_read_file(&config, paths[0], dir, "tokenizer_config.json", err);
    if (!st) { st = lorac_read_file(&top, paths[1], dir, "config.json", err); }
    if (!st) { st = pick_class(class, &config, &top, dir, err); }
    if (!st) { st = lorac_read_file(&added, paths[2], dir, "added_tokens.json", err); }
    if (!st) { st = lorac_json_parse(&root, (*class)->frame, strlen((*class)->frame), dir, err); }
    json_t *model = json_object_get(root.value, "model");
    if (!st) { st = read_model_files(model, *class, dir, err); }
    if (!st && (*class)->lines) { st = set_bert(&changed, root.value, &config, err); }
    if (!st && (*class)->post) {
        st = set_post(root.value, *class, config.value, json_object_get(model, "vocab"), err);
    }
    if (!st && added.value && !json_object_get(config.value, "added_tokens_decoder")) {
        st = read_added_txt(root.value, &added, err);
    }
    if (!st) { st = lorac_read_tokenizer(t, &root, err); }
    lorac_json_free(&root);
    lorac_json_free(&config);
    lorac_json_free(&top);
    lorac_json_free(&added);
    return st;
}
