import java.io.FileInputStream;
import java.io.OutputStreamWriter;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;

/** Prints the subject of each certificate as Kafka's brokers see it. */
public final class Names {
    public static void main(String[] files) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        try (PrintWriter out = new PrintWriter(new OutputStreamWriter(System.out, StandardCharsets.UTF_8))) {
            for (String file : files) {
                try (FileInputStream in = new FileInputStream(file)) {
                    X509Certificate certificate = (X509Certificate) factory.generateCertificate(in);
                    out.print(certificate.getSubjectX500Principal().getName() + "\n");
                }
            }
        }
    }
}
