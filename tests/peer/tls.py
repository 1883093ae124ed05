# SPDX-License-Identifier: GPL-3.0-or-later
"""
Certificates for peers, made by the openssl command in a test's own folder.

    authority = Authority(tmp_path)
    relayd: tls = {"ca": authority.file}
    peer:   tls = authority.server("mx.b.example", "127.0.0.1")     an ssl.SSLContext
            authority.server("mx.b.example", days=-1)               expired
            self_signed(tmp_path, "mx.b.example")                   signed by nobody who is trusted
"""
import ipaddress
import itertools
import ssl
import subprocess

EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
RSA = ("-newkey", "rsa:2048")

counter = itertools.count()


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def alternative(name):
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"


def context_of(certificate, key):
    """A server context that shows it, and notes the name that was asked for (SNI)."""
    def name_asked(tls, name, _):
        tls.name_asked_for = name

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(certificate), str(key))
    context.sni_callback = name_asked
    return context


class Authority:
    def __init__(self, folder, name="the tests' authority"):
        self.folder = folder
        number = next(counter)
        self.file, self.key = folder / f"authority{number}.crt", folder / f"authority{number}.key"
        openssl("req", "-x509", *EC, "-nodes", "-days", 2, "-subj", f"/CN={name}", "-keyout", self.key,
                "-out", self.file)

    def certificate(self, *names, days=2, kind=EC):
        """Files: the certificate and its key."""
        place = self.folder / f"server{next(counter)}"
        request, key, file = (place.with_suffix(end) for end in (".csr", ".key", ".crt"))
        extensions = place.with_suffix(".ext")
        extensions.write_text("basicConstraints = CA:FALSE\nsubjectAltName = "
                              + ", ".join(map(alternative, names)) + "\n")
        openssl("req", "-new", *kind, "-nodes", "-subj", f"/CN={names[0]}", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.key, "-set_serial", next(counter) + 1,
                "-days", days, "-extfile", extensions, "-out", file)
        return file, key

    def server(self, *names, days=2):
        return context_of(*self.certificate(*names, days=days))


def self_signed(folder, *names):
    """A certificate that no authority answers for; (context, file)."""
    place = folder / f"alone{next(counter)}"
    file, key = place.with_suffix(".crt"), place.with_suffix(".key")
    openssl("req", "-x509", *EC, "-nodes", "-days", 2, "-subj", f"/CN={names[0]}",
            "-addext", "subjectAltName=" + ",".join(map(alternative, names)), "-keyout", key, "-out", file)
    return context_of(file, key), file
