package sandbox

import com.amazonaws.services.s3.AmazonS3
import com.amazonaws.services.s3.model.CopyObjectRequest
import java.lang.reflect.{InvocationTargetException, Method, Proxy}
import java.net.URI
import org.apache.hadoop.fs.s3a.{DefaultS3ClientFactory, S3ClientFactory}

/** Clients of an S3 without TLS: the SDK refuses to name a key to it, and the bucket's is taken. */
class PlainS3 extends DefaultS3ClientFactory {
  override def createS3Client(
      uri: URI,
      parameters: S3ClientFactory.S3ClientCreationParameters
  ): AmazonS3 = {
    val client = super.createS3Client(uri, parameters)
    val call = (_: Any, method: Method, arguments: Array[AnyRef]) => {
      val told = Option(arguments).getOrElse(Array.empty[AnyRef])
      told.collect { case copy: CopyObjectRequest => copy.setSSEAwsKeyManagementParams(null) }
      try method.invoke(client, told: _*)
      catch { case error: InvocationTargetException => throw error.getCause }
    }
    Proxy
      .newProxyInstance(getClass.getClassLoader, Array(classOf[AmazonS3]), call(_, _, _))
      .asInstanceOf[AmazonS3]
  }
}
