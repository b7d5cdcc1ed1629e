/*
 * SHA-256. What is promised: the hashes of the standard's examples, however the bytes are cut into
 * pieces. Vectors: FIPS 180-4 examples and NIST's long messages ("", "abc", 448 and 896 bits, a
 * million times 'a').
 */
#include "base/core/sha256.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void the_standard_examples_come_out(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmno"
         "ijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_sha256 s;
        char hex[65];
        lorac_sha256_init(&s);
        lorac_sha256_add(&s, cases[i][0], strlen(cases[i][0]));
        lorac_sha256_hex(hex, &s);
        assert_string_equal(hex, cases[i][1]);
    }
}

static void a_million_times_a_comes_out_in_pieces_of_any_size(void **state)
{
    (void)state;
    enum { N = 1000000 };
    static char a[N];
    memset(a, 'a', N);
    const size_t pieces[] = {1, 55, 63, 64, 65, 119, 1000, N};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct lorac_sha256 s;
        char hex[65];
        lorac_sha256_init(&s);
        for (size_t at = 0; at < N; at += pieces[i]) {
            lorac_sha256_add(&s, a + at, N - at < pieces[i] ? N - at : pieces[i]);
            lorac_sha256_add(&s, NULL, 0);
        }
        lorac_sha256_hex(hex, &s);
        assert_string_equal(hex,
                            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
}

/* Lengths around the padding's edges; hash of the hashes, computed once with Python's hashlib. */
static void every_length_to_200_is_padded_right(void **state)
{
    (void)state;
    char bytes[200];
    memset(bytes, 'x', sizeof bytes);
    struct lorac_sha256 all;
    char hex[65];
    lorac_sha256_init(&all);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        struct lorac_sha256 s;
        lorac_sha256_init(&s);
        lorac_sha256_add(&s, bytes, n);
        lorac_sha256_hex(hex, &s);
        lorac_sha256_add(&all, hex, 64);
    }
    lorac_sha256_hex(hex, &all);
    assert_string_equal(hex, "75013a3fd49991ead9d8a57ea80485c088443c3406a0e8fa003ed57144041eb4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_standard_examples_come_out),
        cmocka_unit_test(a_million_times_a_comes_out_in_pieces_of_any_size),
        cmocka_unit_test(every_length_to_200_is_padded_right),
    };
    return cmocka_run_group_tests_name("sha256", tests, NULL, NULL);
}
