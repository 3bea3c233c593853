"""The parts a decoder is made of: attention kinds, FFN kinds, embedding and head.

Add a kind here: one module with one frozen dataclass that derives from `Block`,
then name it in `KINDS`; model specs use it by that name.
"""
