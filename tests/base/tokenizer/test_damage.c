/*
 * Damaged and unsupported tokenizer.json files. What is promised: each is refused with one line
 * that names the file, the place, what was found and what was expected; nothing is skipped in
 * silence.
 */
#include "base/core/buf.h"
#include "base/tokenizer/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A model that is read, for the cases about what is around it. */
#define MODEL "'model':{'type':'BPE','vocab':{'a':0,'b':1,'ab':2,'<s>':3},'merges':[['a','b']]}"
#define WITH(part) "{" MODEL "," part "}"
#define ADDED(token) WITH("'added_tokens':[" token "]")
#define PRE(part) WITH("'pre_tokenizer':{" part "}")
#define SPLIT(regex) \
    PRE("'type':'Split','behavior':'Isolated','invert':false,'pattern':{'Regex':'" regex "'}")

#define SEQUENCE "{'Sequence':{'id':'A','type_id':0}}"
#define SPECIAL "{'SpecialToken':{'id':'<s>','type_id':0}}"
#define POST(single, tokens) \
    "{'type':'TemplateProcessing','single':[" single "],'pair':[],'special_tokens':{" tokens "}}"
#define TEMPLATE(single, tokens) WITH("'post_processor':" POST(single, tokens))
#define BEGINS POST(SPECIAL "," SEQUENCE, "'<s>':{'id':'<s>','ids':[3],'tokens':['<s>']}")
#define ENDS POST(SEQUENCE "," SPECIAL, "'<s>':{'id':'<s>','ids':[3],'tokens':['<s>']}")

static const struct {
    const char *json; // with ' for "
    enum lorac_status status;
    const char *message; // behind "t.json: "
} cases[] = {
    {"[]", LORAC_EFORMAT, "'' must be an object, found []"},
    {"{}", LORAC_EFORMAT, "'model' is missing, an object was expected"},
    {"{'model':{'type':'Unigram','vocab':[]}}", LORAC_ENOTSUP,
     "the model is of type Unigram, only BPE and WordPiece are supported"},
    {"{'model':{'vocab':[]}}", LORAC_ENOTSUP,
     "the model is of type (none, and has no merges), only BPE and WordPiece are supported"},
    {"{'model':{'type':'WordPiece','vocab':{}}}", LORAC_EFORMAT,
     "'model.vocab' holds 0 tokens, 1 to 1048576 were expected"},
    {"{'model':{'type':'WordPiece','vocab':{'a':0}}}", LORAC_EFORMAT,
     "'model' needs '[UNK]', which is no token"},
    {"{'model':{'max_input_chars_per_word':9,'unk_token':'?','vocab':{'a':0}}}", LORAC_EFORMAT,
     "'model.unk_token' needs '?', which is no token"},
    {"{'model':{'type':'WordPiece','max_input_chars_per_word':4097,'vocab':{'[UNK]':0}}}",
     LORAC_EFORMAT,
     "'model.max_input_chars_per_word' must be a whole number from 0 to 4096, found 4097"},
    {"{'model':{'type':'WordPiece','continuing_subword_prefix':'################','vocab':"
     "{'[UNK]':0}}}",
     LORAC_EFORMAT,
     "'model.continuing_subword_prefix' must be at most 15 bytes, found \"################\""},
    {"{'model':{'type':'WordPiece','vocab':{'[UNK]':0},'dropout':0.1}}", LORAC_ENOTSUP,
     "'model.dropout' is not supported"},
    {WITH("'normalizer':{'type':'BertNormalizer','clean':true}"), LORAC_ENOTSUP,
     "'normalizer.clean' is not supported"},
    {WITH("'pre_tokenizer':{'type':'BertPreTokenizer','behavior':'Removed'}"), LORAC_ENOTSUP,
     "'pre_tokenizer.behavior' is not supported"},
    {"{'model':{'type':'BPE','vocab':[],'merges':[]}}", LORAC_EFORMAT,
     "'model.vocab' must be an object, found []"},
    {"{'model':{'type':'BPE','vocab':{},'merges':[]}}", LORAC_EFORMAT,
     "'model.vocab' holds 0 tokens, 1 to 1048576 were expected"},
    {"{'model':{'type':'BPE','vocab':{'a':0,'b':0},'merges':[]}}", LORAC_EFORMAT,
     "'model.vocab': 'a' and 'b' both have id 0"},
    {"{'model':{'type':'BPE','vocab':{'a':-1},'merges':[]}}", LORAC_EFORMAT,
     "'model.vocab': the id of token 'a' must be a whole number below 2097152"},
    {"{'model':{'type':'BPE','vocab':{'a':'0'},'merges':[]}}", LORAC_EFORMAT,
     "'model.vocab': the id of token 'a' must be a whole number below 2097152"},
    {"{'model':{'type':'BPE','vocab':{'a':2000000},'merges':[]}}", LORAC_EFORMAT,
     "'model.vocab' holds 1 tokens, but an id of 2000000"},
    {"{'model':{'type':'BPE','vocab':{'':0,'a':1},'merges':[['','a']]}}", LORAC_EFORMAT,
     "'model.merges[0]' must be two tokens, found [\"\",\"a\"]"},
    {"{'model':{'type':'BPE','vocab':{'':0,'a':1},'merges':[' a']}}", LORAC_EFORMAT,
     "'model.merges[0]' must be two tokens with one space between, found \" a\""},
    {"{'model':{'type':'BPE','vocab':{'':0,'a':1},'merges':['a ']}}", LORAC_EFORMAT,
     "'model.merges[0]' must be two tokens with one space between, found \"a \""},
    {"{'model':{'type':'BPE','vocab':{'a':0}}}", LORAC_EFORMAT,
     "'model.merges' is missing, a list was expected"},
    {"{'model':{'type':'BPE','vocab':{'a':0},'merges':['a a a']}}", LORAC_EFORMAT,
     "'model.merges[0]' must be two tokens with one space between, found \"a a a\""},
    {"{'model':{'type':'BPE','vocab':{'a':0},'merges':[['a']]}}", LORAC_EFORMAT,
     "'model.merges[0]' must be two tokens, found [\"a\"]"},
    {"{'model':{'type':'BPE','vocab':{'a':0,'aa':1},'merges':['a a','a b']}}", LORAC_EFORMAT,
     "'model.merges[1]' needs 'b', which is no token"},
    {"{'model':{'type':'BPE','vocab':{'a':0},'merges':['a a']}}", LORAC_EFORMAT,
     "'model.merges[0]' needs 'aa', which is no token"},
    {"{'model':{'type':'BPE','vocab':{'a':0,'aa':1},'merges':['a a','a a']}}", LORAC_EFORMAT,
     "'model.merges[1]' is a merge that was listed before"},
    {"{'model':{'type':'BPE','vocab':{'a':0},'merges':[],'dropout':0.1}}", LORAC_ENOTSUP,
     "'model.dropout' of 0.10000000000000001 is not supported"},
    {"{'model':{'type':'BPE','vocab':{'a':0},'merges':[],'end_of_word_suffix':'</w>'}}",
     LORAC_ENOTSUP, "'model.end_of_word_suffix' of \"</w>\" is not supported"},
    {"{'model':{'type':'BPE','vocab':{'a':0},'merges':[],'unk_token':'<unk>'}}", LORAC_EFORMAT,
     "'model.unk_token' needs '<unk>', which is no token"},
    {"{'model':{'type':'BPE','vocab':{'a':0},'merges':[],'new':1}}", LORAC_ENOTSUP,
     "'model.new' is not supported"},
    {WITH("'new':1"), LORAC_ENOTSUP, "'new' is not supported"},
    {WITH("'version':'2.0'"), LORAC_EFORMAT, "'version' must be 1.0, found \"2.0\""},
    {WITH("'normalizer':{'type':'Precompiled','precompiled_charsmap':'AA'}"), LORAC_ENOTSUP,
     "'normalizer' is of type Precompiled, which is not supported"},
    {WITH("'normalizer':{'type':'NFC','form':1}"), LORAC_ENOTSUP,
     "'normalizer.form' is not supported"},
    {WITH("'normalizer':{'type':'Replace','pattern':{'String':''},'content':'x'}"), LORAC_EFORMAT,
     "'normalizer.pattern' must be a String that is not empty, found {\"String\":\"\"}"},
    {WITH("'normalizer':{'type':'Sequence','normalizers':[{'type':'Nmt'}]}"), LORAC_ENOTSUP,
     "'normalizer.normalizers[0]' is of type Nmt, which is not supported"},
    {WITH("'normalizer':'NFC'"), LORAC_EFORMAT, "'normalizer' must be an object, found \"NFC\""},
    {PRE("'type':'FixedLength'"), LORAC_ENOTSUP,
     "'pre_tokenizer' is of type FixedLength, which is not supported"},
    {PRE("'type':'ByteLevel'"), LORAC_EFORMAT,
     "'pre_tokenizer.add_prefix_space' is missing, true or false was expected"},
    {PRE("'type':'Metaspace','replacement':'__'"), LORAC_EFORMAT,
     "'pre_tokenizer.replacement' must be one character, found \"__\""},
    {PRE("'type':'Metaspace','replacement':'_','prepend_scheme':'last'"), LORAC_EFORMAT,
     "'pre_tokenizer.prepend_scheme' must be one of never, first, always, found \"last\""},
    {PRE("'type':'Metaspace','replacement':'_','prepend_scheme':'first','add_prefix_space':false"),
     LORAC_EFORMAT,
     "'pre_tokenizer.prepend_scheme' must be \"never\" where add_prefix_space is false, found "
     "\"first\""},
    {SPLIT("(a"), LORAC_EFORMAT,
     "'pre_tokenizer.pattern' is no regular expression: missing closing parenthesis"},
    {SPLIT("a{1,3}+"), LORAC_ENOTSUP,
     "'pre_tokenizer.pattern': the pattern holds '{n,m}+', which is not supported"},
    {SPLIT("a\\\\b"), LORAC_ENOTSUP,
     "'pre_tokenizer.pattern': the pattern holds an escape (word border, reference, hexadecimal "
     "digit or other), which is not supported"},
    {SPLIT("(?m:a)"), LORAC_ENOTSUP,
     "'pre_tokenizer.pattern': the pattern holds a kind of group or a flag, which is not "
     "supported"},
    {SPLIT("[a&&b]"), LORAC_ENOTSUP,
     "'pre_tokenizer.pattern': the pattern holds a class within a class, which is not supported"},
    {SPLIT("\\\\pL"), LORAC_ENOTSUP,
     "'pre_tokenizer.pattern': the pattern holds a property in a form, which is not supported"},
    {SPLIT("\\\\p{^L}"), LORAC_ENOTSUP,
     "'pre_tokenizer.pattern': the pattern holds a property in a form, which is not supported"},
    {SPLIT("\\\\p{L"), LORAC_ENOTSUP,
     "'pre_tokenizer.pattern': the pattern holds a property in a form, which is not supported"},
    {SPLIT("[^\\\\P{L}]"), LORAC_ENOTSUP,
     "'pre_tokenizer.pattern': the pattern holds a negated property in a class, which is not "
     "supported"},
    {SPLIT("[a[b]]"), LORAC_ENOTSUP,
     "'pre_tokenizer.pattern': the pattern holds a class within a class, which is not supported"},
    {SPLIT("(*ACCEPT)"), LORAC_ENOTSUP,
     "'pre_tokenizer.pattern': the pattern holds a verb, which is not supported"},
    {SPLIT("a{,3}"), LORAC_ENOTSUP,
     "'pre_tokenizer.pattern': the pattern holds '{,m}', which is not supported"},
    {SPLIT("a(?i)b"), LORAC_ENOTSUP,
     "'pre_tokenizer.pattern': the pattern holds a kind of group or a flag, which is not "
     "supported"},
    {PRE("'type':'Split','invert':false,'pattern':{'Regex':'a'}"), LORAC_EFORMAT,
     "'pre_tokenizer.behavior' is missing, how to split was expected"},
    {WITH("'decoder':{'type':'CTC'}"), LORAC_ENOTSUP,
     "'decoder' is of type CTC, which is not supported"},
    {WITH("'decoder':{'type':'WordPiece','cleanup':true}"), LORAC_EFORMAT,
     "'decoder.prefix' is missing, text was expected"},
    {WITH("'decoder':{'type':'Strip','content':' ','start':0,'stop':1}"), LORAC_EFORMAT,
     "'decoder.stop' must be a whole number from 0 to 0, found 1"},
    {WITH("'decoder':{'type':'Sequence','decoders':[{'type':'Fuse'},{'type':'ByteFallback'}]}"),
     LORAC_ENOTSUP, "'decoder.decoders[1]': ByteFallback in this place is not supported"},
    {WITH("'post_processor':{'type':'Unknown'}"), LORAC_ENOTSUP,
     "'post_processor' is of type Unknown, which is not supported"},
    {WITH("'post_processor':{'type':'BertProcessing'}"), LORAC_EFORMAT,
     "'post_processor.cls[1]' is missing, the id of a token was expected"},
    {WITH("'post_processor':{'type':'BertProcessing','cls':['a',9],'sep':['a',0]}"), LORAC_EFORMAT,
     "'post_processor.cls[1]' must be the id of a token, found 9"},
    {WITH("'post_processor':{'type':'TemplateProcessing','single':[{'SpecialToken':{'id':'<s>',"
          "'type_id':0}}],'pair':[],'special_tokens':{}}"),
     LORAC_EFORMAT,
     "'post_processor.special_tokens.<s>.ids' is missing, a list of ids was expected"},
    {WITH("'post_processor':{'type':'TemplateProcessing','single':[],'pair':[],"
          "'special_tokens':{}}"),
     LORAC_EFORMAT, "'post_processor.single' must be a list with the sequence A, found []"},
    {TEMPLATE("{'Sequence':{'id':'B','type_id':0}}", ""), LORAC_EFORMAT,
     "'post_processor.single[0]' must be the sequence A once, found "
     "{\"Sequence\":{\"id\":\"B\",\"type_id\":0}}"},
    {TEMPLATE(SEQUENCE "," SEQUENCE, ""), LORAC_EFORMAT,
     "'post_processor.single[1]' must be the sequence A once, found "
     "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}"},
    {TEMPLATE(SPECIAL "," SEQUENCE, "'<s>':{'id':'<s>','ids':[4],'tokens':['<s>']}"), LORAC_EFORMAT,
     "'post_processor.special_tokens.<s>.ids[0]' must be the id of a token, found 4"},
    {TEMPLATE(SPECIAL "," SEQUENCE, "'<s>':{'id':'<s>','ids':['3'],'tokens':['<s>']}"),
     LORAC_EFORMAT,
     "'post_processor.special_tokens.<s>.ids[0]' must be the id of a token, found \"3\""},
    {TEMPLATE(SPECIAL "," SEQUENCE, "'<s>':{'id':'<s>','ids':[-1],'tokens':['<s>']}"),
     LORAC_EFORMAT,
     "'post_processor.special_tokens.<s>.ids[0]' must be the id of a token, found -1"},
    {WITH("'post_processor':{'type':'Sequence','processors':[" BEGINS "," BEGINS "]}"),
     LORAC_ENOTSUP, "'post_processor.processors[1]': a second template is not supported"},
    {WITH("'post_processor':{'type':'Sequence','processors':[" ENDS "," BEGINS "]}"), LORAC_ENOTSUP,
     "'post_processor.processors[1]': a second template is not supported"},
    {ADDED("{'id':0,'content':'<s>'}"), LORAC_EFORMAT,
     "'added_tokens[0]': token '<s>' has id 0, 3 was expected"},
    {ADDED("{'id':7,'content':'<new>'}"), LORAC_EFORMAT,
     "'added_tokens[0]': token '<new>' has id 7, 4 was expected"},
    {ADDED("{'id':3,'content':'<s>'},{'id':3,'content':'<s>'}"), LORAC_EFORMAT,
     "'added_tokens[1]' is a token that was added before"},
    {ADDED("{'id':3,'content':'<s>','color':1}"), LORAC_ENOTSUP,
     "'added_tokens[0].color' is not supported"},
    {ADDED("{'id':3,'content':'<s>','special':1}"), LORAC_EFORMAT,
     "'added_tokens[0].special' must be true or false, found 1"},
    {WITH("'normalizer':{'type':'Lowercase'},'added_tokens':[{'id':4,'content':'X','normalized':"
          "true},{'id':5,'content':'x','normalized':true}]"),
     LORAC_EFORMAT, "added tokens 4 and 5 are the same text, 'x'"},
    {WITH("'normalizer':{'type':'Strip','strip_left':true,'strip_right':true},'added_tokens':["
          "{'id':4,'content':'  ','normalized':true}]"),
     LORAC_EFORMAT, "the normalizer makes 0 bytes of added token '  '"},
};

static void with_quotes(struct lorac_buf *out, const char *json)
{
    lorac_buf_clear(out);
    for (const char *s = json; *s; s++) {
        lorac_buf_add(out, *s == '\'' ? "\"" : s, 1);
    }
}

static void each_is_refused_with_its_place(void **state)
{
    (void)state;
    struct lorac_buf json = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_err err = {0};
        struct lorac_tokenizer *t = NULL;
        char want[512];
        with_quotes(&json, cases[i].json);
        (void)snprintf(want, sizeof want, "t.json: %s", cases[i].message);
        if (lorac_tokenizer_parse(&t, json.at, json.n, "t.json", &err) != cases[i].status) {
            fail_msg("%s: '%s'", json.at, err.text);
        }
        assert_string_equal(err.text, want);
        assert_null(t);
    }
    lorac_buf_free(&json);
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct lorac_buf json = {0};
    with_quotes(&json, ADDED("{'id':3,'content':'<s>','special':true}"));
    struct lorac_tokenizer *t = NULL;
    for (size_t n = 0; n < json.n; n++) {
        assert_int_equal(lorac_tokenizer_parse(&t, json.at, n, "t.json", NULL), LORAC_EFORMAT);
    }
    assert_int_equal(lorac_tokenizer_parse(&t, json.at, json.n, "t.json", NULL), LORAC_OK);
    lorac_tokenizer_free(t);
    lorac_buf_free(&json);
}

static void a_character_without_a_token_is_an_error(void **state)
{
    (void)state;
    struct lorac_buf json = {0};
    struct lorac_err err = {0};
    struct lorac_tokenizer *t = NULL;
    struct lorac_ids ids = {0};
    struct lorac_text text = {.at = "abc", .n = 3};
    with_quotes(&json, "{" MODEL "}");
    assert_int_equal(lorac_tokenizer_parse(&t, json.at, json.n, "t.json", &err), LORAC_OK);
    assert_int_equal(lorac_encode(&ids, t, &text, 1, 0, &err), LORAC_EUSER);
    assert_string_equal(err.text, "the tokenizer has no token for U+0063 and no unknown token");
    assert_int_equal(ids.n, 0);
    lorac_ids_free(&ids);
    lorac_tokenizer_free(t);
    lorac_buf_free(&json);
}

/* "{...}": a Replace of one a by 2048. */
static void add_explosion(struct lorac_buf *json)
{
    char many[2049] = "";
    memset(many, 'a', 2048);
    lorac_buf_printf(
        json, "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"%s\"}", many);
}

static void a_part_that_explodes_is_stopped(void **state)
{
    (void)state;
    static const char *const parts[][3] = {
        {"normalizer", "normalizers",
         "normalizer 1 makes more than 65792 bytes of 1 bytes of text"},
        {"decoder", "decoders", "decoder 1 makes more than 65792 bytes of text"},
        {"pre_tokenizer", "pretokenizers",
         "pre-tokenizer 16 makes more than 65792 bytes of 1 bytes of text"}};
    for (size_t i = 0; i < 3; i++) {
        struct lorac_buf json = {0};
        struct lorac_buf text = {0};
        struct lorac_err err = {0};
        struct lorac_tokenizer *t = NULL;
        struct lorac_ids ids = {0};
        struct lorac_text given = {.at = i < 2 ? "a" : "\x01", .n = 1};
        lorac_buf_printf(&json,
                         "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},"
                         "\"%s\":{\"type\":\"Sequence\",\"%s\":[",
                         parts[i][0], parts[i][1]);
        for (int k = 0; k < (i < 2 ? 3 : 40); k++) {
            lorac_buf_str(&json, k ? "," : "");
            if (i < 2) { add_explosion(&json); }
            if (i == 2) {
                lorac_buf_str(&json, "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
                                     "\"use_regex\":false}");
            }
        }
        lorac_buf_str(&json, "]}}");
        assert_int_equal(lorac_tokenizer_parse(&t, json.at, json.n, "t.json", &err), LORAC_OK);
        enum lorac_status st = lorac_encode(&ids, t, &given, 1, 0, &err);
        if (i == 1) { st = lorac_decode(&text, t, ids.at, ids.n, false, &err); }
        assert_int_equal(st, LORAC_EFORMAT);
        assert_string_equal(err.text, parts[i][2]);
        lorac_ids_free(&ids);
        lorac_tokenizer_free(t);
        lorac_buf_free(&json);
        lorac_buf_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_refused_with_its_place),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(a_character_without_a_token_is_an_error),
        cmocka_unit_test(a_part_that_explodes_is_stopped),
    };
    return cmocka_run_group_tests_name("tokenizer_damage", tests, NULL, NULL);
}
