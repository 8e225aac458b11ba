"""What the original tokenizers give for every Unicode scalar value, alone and
between letters: sweep.py TOKENIZER OUT writes 1,114,112 numbers of 32 bits,
the CRC-32 of (count, ids) of both texts; surrogates have 0. Needs the packages
tokenizers 0.23 and sentencepiece 0.2; not needed to run the tests."""
import struct
import sys
import zlib

path, out = sys.argv[1:]
if path.endswith(".model"):
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(model_file=path)

    def encode(texts):
        return model.encode(texts, num_threads=1)
else:
    from tokenizers import Tokenizer

    model = Tokenizer.from_file(path)

    def encode(texts):
        return [e.ids for e in model.encode_batch_fast(texts, add_special_tokens=False)]


def pack(ids):
    return struct.pack("<%dI" % (len(ids) + 1), len(ids), *ids)


with open(out, "wb") as file:
    for block in range(0, 0x110000, 1024):
        codes = [c for c in range(block, block + 1024) if not 0xD800 <= c < 0xE000]
        texts = [t for c in codes for t in (chr(c), "a" + chr(c) + "b")]
        ids = encode(texts)
        sums = dict.fromkeys(range(block, block + 1024), 0)
        for i, c in enumerate(codes):
            sums[c] = zlib.crc32(pack(ids[2 * i + 1]), zlib.crc32(pack(ids[2 * i])))
        file.write(struct.pack("<1024I", *sums.values()))
