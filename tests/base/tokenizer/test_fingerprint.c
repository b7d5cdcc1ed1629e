/*
 * Which tokenizer is it? What is promised: the fingerprint of a tokenizer stays what it was
 * (adapters keep it), and any difference in size, ids or what has no token makes another.
 */
#include "base/core/json.h"
#include "base/tokenizer/tokenizer.h"
#include "tests/support/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The fingerprint of JSON with ' for ". */
static void print_of(char out[LORAC_TOKENIZER_FINGERPRINT], const char *json)
{
    struct lorac_tokenizer *t = NULL;
    struct lorac_err err = {0};
    char text[1024];
    (void)snprintf(text, sizeof text, "%s", json);
    for (char *s = text; *s; s++) {
        if (*s == '\'') { *s = '"'; }
    }
    if (lorac_tokenizer_parse(&t, text, strlen(text), "t.json", &err) ||
        lorac_tokenizer_fingerprint(out, t, &err)) {
        fail_msg("%s", err.text);
    }
    lorac_tokenizer_free(t);
}

#define BPE(vocab, unk) "{'model':{'type':'BPE','vocab':{" vocab "},'merges':[]" unk "}"

static void each_difference_makes_another(void **state)
{
    (void)state;
    static const char *const tokenizers[] = {
        BPE("'T':0,'?':1,'h':2", ",'unk_token':'?'") "}",
        BPE("'T':0,'?':1,'h':2,'x':3", ",'unk_token':'?'") "}", // another token of the samples
        BPE("'T':0,'?':1,'h':2,'\xE2\x82\xAC':3", ",'unk_token':'?'") "}", // only another size
        BPE("'T':2,'?':1,'h':0", ",'unk_token':'?'") "}",                  // other ids
        BPE("'T':0,'?':1,'h':2", "") "}",                                  // no token for most
        BPE("'T':0,'?':1,'h':2", ",'unk_token':'?','fuse_unk':true") "}",
        BPE("'T':0,'?':1,'h':2", ",'unk_token':'?'") ",'normalizer':{'type':'Lowercase'}}",
        BPE("'T':0,'?':1,'h':2",
            ",'unk_token':'?'") ",'post_processor':{'type':"
                                "'TemplateProcessing','single':[{'SpecialToken':{'id':'T','type_id'"
                                ":0}},{'Sequence':"
                                "{'id':'A','type_id':0}}],'pair':[],'special_tokens':{'T':{'id':'T'"
                                ",'ids':[0],"
                                "'tokens':['T']}}}}",
    };
    enum { N = sizeof tokenizers / sizeof *tokenizers };
    char prints[N][LORAC_TOKENIZER_FINGERPRINT];
    for (size_t i = 0; i < N; i++) {
        char again[LORAC_TOKENIZER_FINGERPRINT];
        print_of(prints[i], tokenizers[i]);
        print_of(again, tokenizers[i]);
        assert_string_equal(prints[i], again);
        assert_int_equal(strspn(prints[i], "0123456789abcdef"), 16);
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(prints[i], prints[k]);
        }
    }
    assert_string_equal(prints[0], "d05c9669cdf019b2"); // by hand, with Python's hashlib
    assert_string_equal(prints[4], "125647f19e11fba0");
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    static const char json[] =
        "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"a\"}}";
    struct lorac_tokenizer *t = NULL;
    assert_int_equal(lorac_tokenizer_parse(&t, json, sizeof json - 1, "t.json", NULL), LORAC_OK);
    long n = 0;
    for (bool met = true; met; n++) {
        char out[LORAC_TOKENIZER_FINGERPRINT];
        struct lorac_err err = {0};
        faults_start(FAULTS_MEMORY, n);
        enum lorac_status st = lorac_tokenizer_fingerprint(out, t, &err);
        met = faults_stop();
        assert_int_equal(st, met ? LORAC_ENOMEM : LORAC_OK);
        assert_true((err.text[0] != '\0') == met);
    }
    assert_true(n > 3);
    lorac_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_difference_makes_another),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("tokenizer_fingerprint", tests, NULL, NULL);
}
