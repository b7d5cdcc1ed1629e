"""Golden file of the template language: every construct of chat templates, rendered by Jinja2 as
transformers sets it up (utils/chat_template_utils.py). Writes jinja.json beside itself.

  python make_jinja.py        (transformers and jinja2 >= 3.1.6)
"""

import json
import pathlib

from transformers.utils.chat_template_utils import _compile_jinja_template

CONTEXT = {
    "messages": [
        {"role": "system", "content": " Be brief. "},
        {"role": "user", "content": "Is 'it' \"on\"?\n<b>\\ é 日本 \u00a0\u200b"},
        {"role": "assistant", "content": "Yes.\nNo.", "n": None},
    ],
    "tools": [{"name": "f", "args": {"b": 1, "A": [1.0, 1e-5, 1e16, True, None, "x/y\u007f\u2028"]}}],
    "words": ["b", "A", "c", "a"],
    "d": {"z": 1, "B": [2], "a": {"k": "v"}, "items": "member"},
    "s": "  Hello, World's end\tof it  ",
    "e": "",
    "i": 7,
    "f": 2.5,
    "t": True,
    "nothing": None,
    "rows": [{"k": "x", "v": 3}, {"k": "Y", "v": 1}, {"k": "x", "v": 2}],
}

PRINTED = """
1, 1.0, 0.1, 1e16, 1e15, 123456789012345680.0, 1e-4, 1e-5, 0.00012345, 1e22, 1.5e300, 2.50, 3.0e0, 1_000, 1_0.5
none, None, true, True, false, [], [1, 'a', none], (1,), (1, 2), {}, {'a': 1, 'b': [true]}, "q'q", ['q\\'q', "d\\"d", "b'\\"o"]
['\\n\\t\\\\', 'é', '\u00a0', '\u200b', '\\x07', '😀', '\U000e0001'], 'a' 'b' "c", 'a\\qb', '\\x41\\u00e9\\n', "\\101"
1 + 2, 1 - 2, 3 * 4, 7 / 2, 4 / 2, 7 // 2, -7 // 2, 7 % 3, -7 % 3, 7 % -3, 2 ** 3, 2 ** -1, 2 ** 3 ** 2, -2 ** 2, 7.5 // 2, -7.5 % 2
1 + 2.0, true + 1, 'a' + 'b', [1] + [2], (1,) + (2,), 'ab' * 3, 3 * 'ab', [1] * 2, 'a' ~ 1 ~ none ~ 1.0 ~ [1], 1 ~ 2
- i, + i, -f, - -1, 1 < 2, 2 <= 2, 3 > 4, 4 >= 4, 1 < 2 < 3, 1 < 3 < 2, 1 == 1.0, 1 == true, 'a' < 'b', [1, 2] < [1, 3], 'a' == 1
1 != 2, none == none, none == false, x == y, 'b' in words, 'q' not in words, 'ell' in s, 'k' in d.a, 1 in x, not 1, not x, not x is defined
1 and 2, 0 and 2, 0 or 'x', '' or none, 1 or x, not 1 == 2, 1 if t else 2, 1 if e else 2, (1 if e), [1 if e], 1 if e else 2 if e else 3
s.strip(), s.lstrip(), s.rstrip(), s|trim, 'xxaxx'.strip('x'), 'abcba'.strip('ab'), 'ab'.lstrip('b'), s.strip().split(), s.split(), s.split(' ')
'a,b,c'.split(','), 'a,b,c'.split(',', 1), 'a b  c '.split(none, 1), 'a,b,c'.rsplit(',', 1), 'a\\nb\\r\\nc'.splitlines(), 'a\\nb'.splitlines(true), ''.split(), ''.split(',')
s.upper(), s.lower(), s.title(), s|title, s|capitalize, s.capitalize(), 'ß'.upper(), "it's o'clock"|title, "it's o'clock".title(), 'ÉCOLE'|lower, 'a-b (c)'|title
'abab'.replace('a', 'x'), 'abab'.replace('a', 'x', 1), 'ab'.replace('', '-'), 'abab'|replace('b', 'y'), 'abab'|replace('b', 'y', 1), 'hello'.find('l'), 'hello'.find('z'), 'hello'.count('l'), 'aé'.find('é')
'abc'.startswith('ab'), 'abc'.startswith(('x', 'a')), 'abc'.endswith('bc'), '12'.isdigit(), '1a'.isdigit(), ', '.join(words), s|length, '日本'|length, words|length, d|length, x|length
words[0], words[-1], words[9], words[1:], words[:2], words[::-1], words[-2:], words[1:3], words[::2], words[3:0:-1], words[:], words[5:], s[2:5], s[::-1], '日本é'[1], '日本é'[-1], '日本é'[::-1], s[-1:]
d.z, d['z'], d.a.k, d['a']['k'], d.nope, d['nope'], d.get('z'), d.get('q'), d.get('q', 5), d['items'], messages[0].role, messages[0]['content'], messages.0.role, nothing.x, words.x, 'abc'.x
d|list, d.keys()|list, d.values()|list, d.items()|list, d|items|list, d|dictsort, d|dictsort(true), d|dictsort(reverse=true), {'b': 1, 'a': 2}|dictsort(false, 'value'), d|first, words|first, words|last, []|first, e|first
words|join, words|join(', '), rows|join(',', attribute='k'), rows|map(attribute='k')|list, rows|map(attribute='q', default=0)|list, words|map('upper')|list, words|map('replace', 'a', 'z')|list, [[1], [2]]|map('first')|join
rows|selectattr('k')|list|length, rows|selectattr('k', 'equalto', 'x')|list, rows|selectattr('v', '>', 1)|map(attribute='v')|list, rows|rejectattr('k', '==', 'x')|list, [1, 0, 2]|select|list, [1, 2, 3]|select('odd')|list, [1, 2]|reject('even')|list, none|map('upper')|list
words|sort, words|sort(reverse=true), words|sort(case_sensitive=true), rows|sort(attribute='v')|map(attribute='v')|list, rows|sort(attribute='k')|map(attribute='v')|list, ['a', 'A', 'b']|unique|list, [3, 1, 3]|unique|list, words|reverse|list, 'abc'|reverse
x|default('q'), none|default('q'), none|default('q', true), ''|default('q', true), 0|d(5), x|d, 5|string, none|string, none|trim, '12'|int, '1.9'|int, 'q'|int, 'q'|int(3), 2.9|int, -3|abs, ' a '|trim|length, s|safe
tools|tojson, d|tojson, tools|tojson(indent=2), []|tojson(indent=2), {}|tojson(indent=1), d|tojson(separators=(',', ':')), d|tojson(sort_keys=true), s|tojson, 'é😀\u2028'|tojson(ensure_ascii=true), [1e400, -1e400]|tojson, messages|tojson
'a\\nb\\n\\nc'|indent, 'a\\nb'|indent(2, true), 'a\\n\\nb'|indent(2, false, true), 'a\\nb'|indent('>>')
x is defined, i is defined, x is undefined, none is none, nothing is none, x is none, s is string, i is string, d is mapping, words is mapping, words is iterable, i is iterable, s is iterable, x is iterable, words is sequence, d is sequence, x is sequence, s is sequence
t is boolean, i is boolean, t is true, i is true, false is false, i is number, t is number, f is float, i is integer, t is integer, i is odd, i is even, 6 is divisibleby 3, 6 is divisibleby(4), i is eq 7, i is not none, 'A' is upper, 'a' is lower, '1' is upper, i is in [7], range is callable, i is ge 7
range(3)|list, range(1, 3)|list, range(5, 0, -2)|list, range(0)|list, range(3)[1], range(4)|length, dict(a=1), dict(a=1).a, (1, 2)|length, (1, 2)[1:], [1, 2] == [1, 2], {'a': 1} == {'a': 1.0}, (1,) == [1]
strftime_now('%Y-%m-%d'), strftime_now('%d %b %Y'), strftime_now('%B %d, %Y'), strftime_now('')
"""

STATEMENTS = [
    "a\n{% if t %}\n  b\n{% endif %}\nc\n",
    "a\n   {% if t %}b{% endif %}   \n  {# c #}\n d {# c #} e\n",
    "a  {%- if t -%}  b  {%- endif -%}  c",
    "a\n{{ i }}\n{{- i -}}\n b {#- c -#} d\n\n",
    "  {%+ if t %}x{% endif +%}\ny",
    "\r\nx\r\n{% if t %}\r\ny{% endif %}\r\n",
    "{% if e %}1{% elif i == 7 %}2{% elif t %}3{% else %}4{% endif %}",
    "{% for m in messages %}{{ loop.index }}/{{ loop.length }} {{ loop.index0 }} {{ loop.revindex }} {{ loop.revindex0 }} "
    "{{ loop.first }} {{ loop.last }} {{ loop.depth }} {{ loop.previtem.role if not loop.first }} {{ loop.nextitem is defined }}\n{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}",
    "{% for (a, b) in [(1, 2), [3, 4]] %}{{ a + b }} {% endfor %}{% for c in 'aé' %}[{{ c }}]{% endfor %}",
    "{% for x in [] %}x{% else %}none{% endfor %}{% for x in y %}x{% else %}undefined{% endfor %}",
    "{% for r in rows if r.v > 1 %}{{ loop.index }}{{ loop.last }}{{ r.v }} {% endfor %}",
    "{% for a in [1, 2] %}{% for b in [1, 2] %}{{ loop.depth }}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}",
    "{% for x in range(9) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in words %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = 5 %}{{ x }}{% endfor %}{{ x }}",
    "{% if t %}{% set q = 3 %}{% endif %}{{ q }}{% set a, b = 1, [2] %}{{ a }}{{ b }}",
    "{% set ns = namespace(n=0, s='') %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% set ns.s = ns.s ~ m.role %}{% endfor %}{{ ns.n }}{{ ns.s }}{{ ns.q }}",
    "{% set text %}  a {{ i }}\n b{% endset %}[{{ text }}]{{ text | length }}{% set u | upper %}a{{ i }}b{% endset %}{{ u }}",
    "{% macro m(a, b=2, c=a) %}({{ a }},{{ b }},{{ c }}){% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(a=4, c=5) }}{{ m() }}",
    "{% macro m() %}{{ later }}{{ i }}{{ loop }}{% endmacro %}{% set later = 9 %}{% for q in [1] %}{{ m() }}{% endfor %}",
    "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(4) }}",
    "{% macro wrap(tag) %}<{{ tag }}>{{ caller() }}</{{ tag }}>{% endmacro %}{% call wrap('b') %}x{{ i }}{% endcall %}",
    "{% macro each(l) %}{% for x in l %}{{ caller(x) }}{% endfor %}{% endmacro %}{% call(v) each([1, 2]) %}[{{ v }}]{% endcall %}",
    "{% filter upper %}a{{ s }}b{% endfilter %}{% filter trim | replace('a', 'q') %}  banana {% endfilter %}",
    "{% generation %}a{% set x = 1 %}{{ x }}{% endgeneration %}{{ x }}",
    "{% set l = [rows, words] %}{{ l[0][1].k }}{{ (rows | first).k }}{{ (s | trim).split(',')[0].upper() }}",
    "{% macro z(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ z(*[1, 2]) }}{{ z(*words[:2]) }}",
    "{{ {'a': {'b': 1}}.a.b }}{{ {'x': 1}['x'] }}{{ ['}}', '%}'] }}",
    "{{ '{{' }}{{ \"{% if %}\" }}{{ 'a\n  b' }}",
    "{%- for m in messages %}\n    {%- if m.role == 'user' %}\n        {{- '<u>' + m.content + '</u>' }}\n    {%- endif %}\n{%- endfor %}\n",
    # what is refused
    "{{ raise_exception('no ' ~ i) }}",
    "{{ x.y }}",
    "{{ x.y is defined }}",
    "{{ x + 1 }}",
    "{{ 'a' + 1 }}",
    "{{ none + 'a' }}",
    "{{ 1 in none }}",
    "{{ none | length }}",
    "{{ i() }}",
    "{{ unknown() }}",
    "{{ 'a' | nofilter }}",
    "{{ 'a' is notest }}",
    "{{ 1 // 0 }}",
    "{{ 1 < 'a' }}",
    "{{ [1, 'a'] | sort }}",
    "{{ words.append(1) }}",
    "{{ d.update({}) }}",
    "{{ range(1000000) }}",
    "{{ 'a'.split('') }}",
    "{{ x | tojson }}",
    "{{ {[]: 1} }}",
    "{% set d.z = 1 %}",
    "{% for a, b in [1] %}{% endfor %}",
    "{% for a, b in [[1, 2, 3]] %}{% endfor %}",
    "{% for a in none %}{% endfor %}",
    "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{% endmacro %}{{ m(b=2) }}",
    "{% if t %}",
    "{% endif %}",
    "{{ 1",
    "{{ 1 }",
    "{{ }}",
    "{% break %}",
    "{% nonsense %}",
    "{{ 'a }}",
    "{# a",
    "{{ (1 }}",
    "{{ 1) }}",
    "{{ a b }}",
    "{{ 1 + }}",
    "{% for in x %}{% endfor %}",
    "{% set 1 = 2 %}",
    "{{ f(a=1, 2) }}",
    "{{ x is defined is none }}",
]


def cases():
    for line in PRINTED.strip().split("\n"):
        depth, start = 0, 0
        quote = None
        for k, c in enumerate(line):
            if quote:
                quote = None if c == quote and line[k - 1] != "\\" else quote
            elif c in "'\"":
                quote = c
            depth += (c in "([{") - (c in ")]}") if not quote else 0
            if c == "," and depth == 0 and not quote and line[k + 1] == " ":
                yield "{{ " + line[start:k].strip() + " }}"
                start = k + 1
        yield "{{ " + line[start:].strip() + " }}"
    yield from STATEMENTS


def main():
    out = []
    for template in cases():
        case = {"template": template}
        if "strftime" in template:
            case["text"] = None  # today's
        else:
            try:
                case["text"] = _compile_jinja_template(template).render(**CONTEXT)
            except Exception as e:  # noqa: BLE001 - any refusal is one
                case["refused"] = f"{type(e).__name__}: {e}"[:80]
        out.append(case)
    path = pathlib.Path(__file__).with_name("jinja.json")
    whole = {"context": CONTEXT, "cases": out}
    path.write_text(json.dumps(whole, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
    print(len(out), "cases,", sum("refused" in c for c in out), "refused,", path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
