"""One small tokenizer for each kind of part that a tokenizer.json may have, with
what Hugging Face tokenizers 0.23 makes of some texts: parts.py OUT writes a line
a tokenizer, {name, tokenizer, cases}. A model that knows nothing shows the
normalized words with their offsets. Not needed to run the tests."""
import json
import sys

from tokenizers import Tokenizer

UNKNOWN = {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0]], "byte_fallback": False}
CHARSMAP = json.load(open(sys.argv[2]))["normalizer"]["normalizers"][0]["precompiled_charsmap"]
TEXTS = ["", " ", "Hello, World!", "  two  spaces\t\ttabs\n\nlines \r\n", "Ça été ÎLE İstanbul ǅ ﬁ ½ ①",
         "e\u0301\u0323 a\u0323\u0301 \u0344 \u1e69\u0323 가각 \u1100\u1161\u11a8", "漢字とカタカナ、ひらがなー", "don't WE'LL 'ſ I'm",
         "x1y22z333 ١٢٣ Ⅻ", "\u00a0nbsp\u3000ideo\u200bzero\u200c\ufefffeff", "a\x00b\x01\x7f\x85\ufffd\u2028c",
         "_under-score—dash…¿qué?", "▁meta▁space ▁", "🙂👨‍👩‍👧🇩🇪 नमस्ते", "aaa--b--", "привет Ελλάς שלום עולם",
         "line1\nline2\n\n  indented", "a" * 40, "\u1680\u2000x\u205f\u180ey"]


def sequence(key, *parts):
    return {"type": "Sequence", key: list(parts)}


N = {"bert": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
     "bert_cased": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": False, "strip_accents": None, "lowercase": False},
     "bert_lower": {"type": "BertNormalizer", "clean_text": False, "handle_chinese_chars": True, "strip_accents": False, "lowercase": True},
     "strip": {"type": "Strip", "strip_left": True, "strip_right": True}, "strip_left": {"type": "Strip", "strip_left": True, "strip_right": False},
     "strip_right": {"type": "Strip", "strip_left": False, "strip_right": True},
     "prepend": {"type": "Prepend", "prepend": "▁x"}, "byte_level": {"type": "ByteLevel"},
     "precompiled": {"type": "Precompiled", "precompiled_charsmap": CHARSMAP},
     "replace": {"type": "Replace", "pattern": {"String": "a"}, "content": "αβ"},
     "replace_regex": {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": "_"},
     "replace_empty": {"type": "Replace", "pattern": {"Regex": "l*"}, "content": "+"},
     "replace_start": {"type": "Replace", "pattern": {"Regex": "^"}, "content": "> "},
     "nfd_strip": sequence("normalizers", {"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}),
     "nested": sequence("normalizers", sequence("normalizers", {"type": "NFKC"}), {"type": "Prepend", "prepend": "▁"})}
for name in ("StripAccents", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Nmt"):
    N[name.lower()] = {"type": name}


def split(pattern, behavior, invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
P = {"bert": {"type": "BertPreTokenizer"}, "whitespace": {"type": "Whitespace"}, "whitespace_split": {"type": "WhitespaceSplit"},
     "byte_level": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
     "byte_level_prefix": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
     "byte_level_whole": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
     "delimiter": {"type": "CharDelimiterSplit", "delimiter": "a"},
     "metaspace": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
     "metaspace_first": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True},
     "metaspace_never": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "never", "split": True},
     "metaspace_whole": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False},
     "digits": {"type": "Digits", "individual_digits": True}, "digits_runs": {"type": "Digits", "individual_digits": False},
     "unicode_scripts": {"type": "UnicodeScripts"}, "fixed_length": {"type": "FixedLength", "length": 3},
     "llama3": split(LLAMA3, "Isolated"), "qwen2": split(LLAMA3.replace("{1,3}", ""), "Isolated"),
     "chars": split("", "Isolated"), "literal": split("--", "Isolated", kind="String"),
     "classes": split(r"[\p{L}&&[^\p{Han}a-f]]+|\p{N}{1,2}+", "Isolated"),
     "escapes": split(r"\w+|\h|[^\w\s]+|\bx\b", "Removed"), "anchors": split(r"^\s+|$", "Isolated"),
     "then": sequence("pretokenizers", {"type": "Whitespace"}, sequence("pretokenizers", {"type": "Digits", "individual_digits": True})),
     "bytes_then_split": sequence("pretokenizers", {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}, split("Ġ", "Isolated", kind="String"))}
for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
    P["split_" + behavior.lower()] = split(r"[-a ]", behavior)
    P["inverted_" + behavior.lower()] = split(r"[-a ]", behavior, True)
    P["punctuation_" + behavior.lower()] = {"type": "Punctuation", "behavior": behavior}

WORDS = ["[UNK]", "▁Hello", "▁world", "##ing", "play", ".", "!", "do", "not", "n't", "'s", "<0xE2>", "<0x96>", "<0x81>", "<0xff>", "low</w>",
         "er</w>", "<pad>", "|", "h", "Ġx", "Ã©", "Ã", "▁▁a▁", "_", "é", "<0x1>"]
D = {"bpe": {"type": "BPEDecoder", "suffix": "</w>"}, "byte_level": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}, "fuse": {"type": "Fuse"},
     "wordpiece": {"type": "WordPiece", "prefix": "##", "cleanup": True}, "wordpiece_plain": {"type": "WordPiece", "prefix": "##", "cleanup": False},
     "metaspace": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
     "metaspace_never": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": True},
     "ctc": {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True},
     "ctc_plain": {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": False},
     "replace": {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, "replace_regex": {"type": "Replace", "pattern": {"Regex": "[a-h]"}, "content": "<>"},
     "byte_fallback": {"type": "ByteFallback"}, "none": None,
     "strip": sequence("decoders", {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}),
     "strip_each": {"type": "Strip", "content": "▁", "start": 2, "stop": 1}}
DECODED = ["▁Hello ▁world . ! ##ing play ##ing", "do not n't 's . do n't !", "<0xE2> <0x96> <0x81> h <0xE2> h <0xff> <0x1>", "low</w> er</w> h low</w>", "h h <pad> h | | do <pad> not",
           "Ġx Ã© Ã Ġx é", "▁▁a▁ ▁Hello _", "", "<0xE2> <0x96>", "zzz h"]


def added(content, id, **kw):
    token = dict(id=id, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    token.update(kw)
    return token


A = {"plain": [added("[X]", 1)], "single": [added("a", 1, single_word=True)], "left": [added("[X]", 1, lstrip=True), added("\n", 2, special=False)],
     "right": [added("[X]", 1, rstrip=True), added("[X][X]", 2)], "normal": [added("HELLO", 1, normalized=True, special=False), added("été", 2, normalized=True)]}
ADDED_TEXTS = TEXTS[:6] + ["[X]a [X] \n [X]  b[X][X][X]", "a aa a-a a", "Hello HELLO hello ÉTÉ été ete", "\n[X]\n\n"]
R = {"byte_level": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
     "byte_level_bare": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
     "roberta": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": False},
     "bert": {"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]}}


def make(model, **parts):
    file = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None}
    file.update(parts)
    file["model"] = model
    return file


def case(tokenizer, text, special):
    e = tokenizer.encode(text, add_special_tokens=special)
    return {"text": text, "add_special_tokens": special, "ids": e.ids, "tokens": e.tokens, "offsets": [list(o) for o in e.offsets],
            "decoded": tokenizer.decode(e.ids, skip_special_tokens=True), "decoded_with_special": tokenizer.decode(e.ids, skip_special_tokens=False)}


files = [("normalizer_" + k, make(UNKNOWN, normalizer=v, decoder={"type": "Fuse"}), TEXTS) for k, v in N.items()]
files += [("pre_" + k, make(UNKNOWN, pre_tokenizer=v, decoder={"type": "Fuse"}), TEXTS) for k, v in P.items()]
words = {"type": "WordLevel", "unk_token": "[UNK]", "vocab": {w: i for i, w in enumerate(WORDS)}}
files += [("decoder_" + k, make(words, pre_tokenizer={"type": "WhitespaceSplit"}, decoder=v), DECODED) for k, v in D.items()]
files += [("added_" + k, make(UNKNOWN, added_tokens=v, normalizer={"type": "Lowercase"}, decoder={"type": "Fuse"}), ADDED_TEXTS) for k, v in A.items()]
bytes_ = json.load(open(sys.argv[3]))
files += [("post_" + k, dict(bytes_, post_processor=v, model=dict(bytes_["model"], vocab={t: i for t, i in bytes_["model"]["vocab"].items() if i < 270},
          merges=[m for m in bytes_["model"]["merges"] if all(bytes_["model"]["vocab"].get(t, 999) < 270 for t in (m[0], m[1], m[0] + m[1]))])), TEXTS) for k, v in R.items()]

with open(sys.argv[1], "w") as out:
    for name, file, texts in files:
        try:
            tokenizer = Tokenizer.from_str(json.dumps(file))
        except Exception as error:
            sys.exit("%s: %s" % (name, error))
        cases = []
        for t in texts:
            try:
                cases += [case(tokenizer, t, s) for s in ((True, False) if name.startswith("post") else (False,))]
            except BaseException as error:
                print(name, repr(t), error, file=sys.stderr)
        if file["normalizer"] and file["normalizer"]["type"] == "Precompiled":
            file["normalizer"]["precompiled_charsmap"] = "of spm_unigram/tokenizer.json"
        out.write(json.dumps({"name": name, "tokenizer": file, "cases": cases}) + "\n")
