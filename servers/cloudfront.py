"""What Amazon CloudFront does with signed URLs: `StaticFiles` behind it lets in what it admits.

Source: Amazon CloudFront Developer Guide, "Create a signed URL using a canned policy".
"""

from __future__ import annotations

import base64
import time
from pathlib import Path
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


class CloudFront:
    """A key pair of its own, whose private half signs and whose public half checks.

    Attributes:
        key: The private key.
        key_file: The same in PEM.
        key_pair_id: What CloudFront calls it.
    """

    key_pair_id = "K2JCJMDEHXQW5F"

    def __init__(self, folder: Path) -> None:
        self.key = generate_private_key(public_exponent=65537, key_size=2048)
        self.key_file = folder / "cloudfront.pem"
        self.write_key(PrivateFormat.TraditionalOpenSSL)

    def write_key(self, form: PrivateFormat) -> None:
        """Write the private key in another form."""
        self.key_file.write_bytes(self.key.private_bytes(Encoding.PEM, form, NoEncryption()))

    def admits(self, url: str) -> bool:
        """Tell whether a URL is signed for what it asks for, and holds still."""
        resource, _, query = url.partition("?")
        given = {name: values[0] for name, values in parse_qs(query).items()}
        if set(given) != {"Expires", "Signature", "Key-Pair-Id"}:
            return False
        policy = (
            f'{{"Statement":[{{"Resource":"{resource}","Condition":'
            f'{{"DateLessThan":{{"AWS:EpochTime":{given["Expires"]}}}}}}}]}}'
        )
        signature = base64.b64decode(given["Signature"].translate(str.maketrans("-_~", "+=/")))
        try:
            self.key.public_key().verify(signature, policy.encode(), PKCS1v15(), SHA1())
        except InvalidSignature:
            return False
        return given["Key-Pair-Id"] == self.key_pair_id and int(given["Expires"]) > time.time()
